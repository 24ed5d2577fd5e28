"""Built-in tasks: queries, prompt and what counts as a valid answer."""
