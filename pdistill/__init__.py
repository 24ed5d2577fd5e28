"""Prompt distillation: a teacher answers under a long prompt, a student learns to answer without it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pdistill.core.config import Config
    from pdistill.core.constraint import JsonSchema, Pattern
    from pdistill.core.errors import PdistillError
    from pdistill.core.hookspecs import hookimpl
    from pdistill.core.likeness import likeness
    from pdistill.core.pipeline import evaluate, generate, report, run, train
    from pdistill.core.progress import Progress
    from pdistill.core.prompts import Message, Messages, Prompt, Text
    from pdistill.core.queries import Query
    from pdistill.core.queryfiles import read_queries, read_text
    from pdistill.core.registry import Registry
    from pdistill.core.rundir import RunDirectory
    from pdistill.core.sampling import Completion
    from pdistill.core.targets import HardTarget, Rejected
    from pdistill.core.task import Task

__all__ = [
    "Completion",
    "Config",
    "HardTarget",
    "JsonSchema",
    "Message",
    "Messages",
    "Pattern",
    "PdistillError",
    "Progress",
    "Prompt",
    "Query",
    "Registry",
    "Rejected",
    "RunDirectory",
    "Task",
    "Text",
    "evaluate",
    "generate",
    "hookimpl",
    "likeness",
    "read_queries",
    "read_text",
    "report",
    "run",
    "train",
]

_MODULES = {
    "config": ("Config",),
    "constraint": ("JsonSchema", "Pattern"),
    "errors": ("PdistillError",),
    "hookspecs": ("hookimpl",),
    "likeness": ("likeness",),
    "pipeline": ("evaluate", "generate", "report", "run", "train"),
    "progress": ("Progress",),
    "prompts": ("Message", "Messages", "Prompt", "Text"),
    "queries": ("Query",),
    "queryfiles": ("read_queries", "read_text"),
    "registry": ("Registry",),
    "rundir": ("RunDirectory",),
    "sampling": ("Completion",),
    "targets": ("HardTarget", "Rejected"),
    "task": ("Task",),
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: the command line and pytest load this package at every start."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"pdistill.core.{module}"), name)
    raise AttributeError(f"module 'pdistill' has no attribute '{name}'")
