"""Prompt distillation: a teacher answers with a long prompt, a student learns to answer without it."""

TYPE_CHECKING = False  # not imported: this module imports nothing, so that the command line can handle Ctrl-C at once
if TYPE_CHECKING:
    from pdistill.cli.progress import showing
    from pdistill.core.contract.constraint import JsonSchema, Pattern
    from pdistill.core.contract.hookspecs import hookimpl
    from pdistill.core.contract.likeness import likeness
    from pdistill.core.contract.prompts import Message, Messages, Prompt, Text
    from pdistill.core.contract.queries import Query
    from pdistill.core.contract.queryfiles import read_queries, read_text
    from pdistill.core.contract.registry import Registry
    from pdistill.core.contract.sampling import Completion
    from pdistill.core.contract.targets import HardTarget, Rejected
    from pdistill.core.contract.task import Task
    from pdistill.core.delivery.ask import OpenArm, open_arm
    from pdistill.core.delivery.export import export
    from pdistill.core.errors import PdistillError
    from pdistill.core.pipeline import evaluate, generate, run, train
    from pdistill.core.preview import preview
    from pdistill.core.progress import Progress
    from pdistill.core.results.judge import judge
    from pdistill.core.results.reporting import report
    from pdistill.core.setup.config import Config
    from pdistill.core.store.rundir import RunDirectory, find_run

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
    "core.delivery.ask": ("OpenArm", "open_arm"),
    "core.setup.config": ("Config",),
    "core.contract.constraint": ("JsonSchema", "Pattern"),
    "core.errors": ("PdistillError",),
    "core.delivery.export": ("export",),
    "core.contract.hookspecs": ("hookimpl",),
    "core.results.judge": ("judge",),
    "core.contract.likeness": ("likeness",),
    "core.pipeline": ("evaluate", "generate", "run", "train"),
    "core.results.reporting": ("report",),
    "core.preview": ("preview",),
    "core.progress": ("Progress",),
    "core.contract.prompts": ("Message", "Messages", "Prompt", "Text"),
    "core.contract.queries": ("Query",),
    "core.contract.queryfiles": ("read_queries", "read_text"),
    "core.contract.registry": ("Registry",),
    "core.store.rundir": ("RunDirectory", "find_run"),
    "core.contract.sampling": ("Completion",),
    "core.contract.targets": ("HardTarget", "Rejected"),
    "core.contract.task": ("Task",),
}


def __getattr__(name: str) -> object:
    """Return a public name, imported on first use: the command line and pytest load this package at every start."""
    from importlib import import_module

    for module, names in _MODULES.items():
        if name in names:
            found: object = getattr(import_module(f"pdistill.{module}"), name)
            return found
    raise AttributeError(f"module 'pdistill' has no attribute '{name}'")
