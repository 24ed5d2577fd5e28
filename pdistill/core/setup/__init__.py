"""From what the user typed to a plan: configuration, models, task and queries."""
