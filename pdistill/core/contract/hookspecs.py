"""The two hooks. A plugin implements either with `@pdistill.hookimpl` in a module that its entry point names."""

import pluggy

from pdistill.core.contract.interfaces import Backend
from pdistill.core.contract.registry import Registry
from pdistill.core.contract.task import Task

PROJECT = "pdistill"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def pdistill_register_backends(backends: Registry[Backend]) -> None:
    """Register backends: `backends.register("name", create, options=Options, summary="...")`."""


@hookspec
def pdistill_register_tasks(tasks: Registry[Task]) -> None:
    """Register tasks: `tasks.register("name", create, options=Options, summary="...")`."""
