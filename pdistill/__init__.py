"""Prompt distillation: a teacher answers under a long prompt, a student learns to answer without it."""

from pdistill.core.hookspecs import hookimpl

__all__ = ["hookimpl"]
