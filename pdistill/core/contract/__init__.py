"""The contract with plugins, what they implement and what they are passed: prompts, samplers, tasks, backends, hooks."""
