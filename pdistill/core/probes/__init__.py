"""Probes: side effects of the training, measured by questions that ship with the project."""
