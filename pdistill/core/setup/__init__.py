"""From the user's options to a plan: configuration, models, task and queries."""
