"""Backends: who runs models."""
