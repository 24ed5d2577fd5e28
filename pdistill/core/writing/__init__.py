"""Queries that a model writes for a prompt: what it is asked for, how, how its answers are read, and the job that goes on."""
