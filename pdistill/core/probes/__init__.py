"""Probes: what training did to the student besides its task, asked with questions that ship with the project."""
