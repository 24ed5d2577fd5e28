"""What a plugin implements and is given: prompts, samplers, tasks, backends, hooks."""
