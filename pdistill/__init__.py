"""Prompt distillation: a teacher answers under a long prompt, a student learns to answer without it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pdistill.cli.progress import showing
    from pdistill.core.ask import OpenArm, open_arm
    from pdistill.core.config import Config
    from pdistill.core.constraint import JsonSchema, Pattern
    from pdistill.core.errors import PdistillError
    from pdistill.core.export import export
    from pdistill.core.hookspecs import hookimpl
    from pdistill.core.judge import judge
    from pdistill.core.likeness import likeness
    from pdistill.core.pipeline import evaluate, generate, report, run, train
    from pdistill.core.preview import preview
    from pdistill.core.progress import Progress
    from pdistill.core.prompts import Message, Messages, Prompt, Text
    from pdistill.core.queries import Query
    from pdistill.core.queryfiles import read_queries, read_text
    from pdistill.core.registry import Registry
    from pdistill.core.rundir import RunDirectory, find_run
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
    "OpenArm",
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
    "export",
    "find_run",
    "generate",
    "hookimpl",
    "judge",
    "likeness",
    "open_arm",
    "preview",
    "read_queries",
    "read_text",
    "report",
    "run",
    "showing",
    "train",
]

_MODULES = {
    "cli.progress": ("showing",),
    "core.ask": ("OpenArm", "open_arm"),
    "core.config": ("Config",),
    "core.constraint": ("JsonSchema", "Pattern"),
    "core.errors": ("PdistillError",),
    "core.export": ("export",),
    "core.hookspecs": ("hookimpl",),
    "core.judge": ("judge",),
    "core.likeness": ("likeness",),
    "core.pipeline": ("evaluate", "generate", "report", "run", "train"),
    "core.preview": ("preview",),
    "core.progress": ("Progress",),
    "core.prompts": ("Message", "Messages", "Prompt", "Text"),
    "core.queries": ("Query",),
    "core.queryfiles": ("read_queries", "read_text"),
    "core.registry": ("Registry",),
    "core.rundir": ("RunDirectory", "find_run"),
    "core.sampling": ("Completion",),
    "core.targets": ("HardTarget", "Rejected"),
    "core.task": ("Task",),
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: the command line and pytest load this package at every start."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"pdistill.{module}"), name)
    raise AttributeError(f"module 'pdistill' has no attribute '{name}'")
