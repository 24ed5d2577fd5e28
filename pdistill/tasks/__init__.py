"""Tasks: what is asked, under which prompt, and what counts as an answer."""
