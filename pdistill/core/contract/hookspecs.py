"""The two hooks. A plugin implements either with `@pdistill.hookimpl` in a module that its entry point names.

Both are called once per process, when a command first needs a task or a backend. Every plugin has a plugin manager of its
own, so that a broken one is skipped without harm to the others; `tryfirst` and `trylast` therefore have no effect, and no
order is needed: two plugins that register one name are an error.
"""

import pluggy

from pdistill.core.contract.interfaces import Backend
from pdistill.core.contract.registry import Registry
from pdistill.core.contract.task import Task

PROJECT = "pdistill"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def pdistill_register_backends(backends: Registry[Backend]) -> None:
    """Register backends: `backends.register("name", create, options=Options, summary="...")`.

    Called when: once per process, before any task or backend is created. Since 0.1.
    """


@hookspec
def pdistill_register_tasks(tasks: Registry[Task]) -> None:
    """Register tasks: `tasks.register("name", create, options=Options, summary="...")`.

    Called when: once per process, right after `pdistill_register_backends`. Since 0.1.
    """
