"""The plugin manager: loads what the entry points of group `pdistill` name, and fills the registries."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points

import pluggy

from pdistill.core.contract import hookspecs
from pdistill.core.contract.interfaces import Backend
from pdistill.core.contract.registry import Registry
from pdistill.core.contract.task import Task


@dataclass(frozen=True, slots=True)
class Plugin:
    """One plugin: its entry point's name and module, where it comes from, and what is wrong with it, if anything."""

    name: str
    module: str
    distribution: str
    version: str
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Plugins:
    """All that plugins brought."""

    backends: Registry[Backend] = field(default_factory=lambda: Registry("backend"))
    tasks: Registry[Task] = field(default_factory=lambda: Registry("task"))
    plugins: list[Plugin] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """One line for each plugin that was skipped."""
        return [f"plugin {p.name} of {p.distribution} is skipped: {p.problem}" for p in self.plugins if p.problem]


@cache
def installed() -> Plugins:
    """Return all backends, tasks and plugins that are installed; a broken plugin is skipped and says why.

    Raises:
        PluginError: two plugins register one name.
    """
    return load(sorted(entry_points(group=hookspecs.PROJECT), key=lambda point: point.name))


def load(points: Iterable[EntryPoint]) -> Plugins:
    """Return what the plugins behind these entry points register.

    Raises:
        PluginError: two plugins register one name.
    """
    loaded = Plugins()
    for point in points:
        plugin, backends, tasks = _load_one(point)
        loaded.plugins.append(plugin)
        if plugin.problem is None:
            loaded.backends.merge(backends)
            loaded.tasks.merge(tasks)
    return loaded


def _load_one(point: EntryPoint) -> tuple[Plugin, Registry[Backend], Registry[Task]]:
    backends: Registry[Backend] = Registry("backend", point.name)
    tasks: Registry[Task] = Registry("task", point.name)
    problem = None
    try:
        manager = pluggy.PluginManager(hookspecs.PROJECT)
        manager.add_hookspecs(hookspecs)
        manager.register(point.load(), name=point.name)
        manager.check_pending()
        manager.hook.pdistill_register_backends(backends=backends)
        manager.hook.pdistill_register_tasks(tasks=tasks)
    except Exception as error:  # noqa: BLE001 - a third party's module can raise anything, and must not take the command down
        problem = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
    distribution = point.dist.name if point.dist else "an unknown distribution"
    version = point.dist.version if point.dist else ""
    return Plugin(point.name, point.value, distribution, version, problem), backends, tasks
