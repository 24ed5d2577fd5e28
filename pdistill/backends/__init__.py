"""Backends: they run models."""
