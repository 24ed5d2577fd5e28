"""A run as its later stages use it, read from its directory alone."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from pdistill.core.contract.interfaces import DATE, Resolved
from pdistill.core.contract.queries import Query
from pdistill.core.contract.task import Task
from pdistill.core.setup.config import Config
from pdistill.core.setup.inputs import config_of, stored_inputs
from pdistill.core.setup.models import (
    BackendOptions,
    Models,
    check_addresses,
    open_models,
    resolve_models,
    with_options,
)
from pdistill.core.store.rundir import RunDirectory
from pdistill.core.store.settings import GenerateSettings


@dataclass(frozen=True, slots=True)
class OpenedRun:
    """A run that was started: its options, its resolved settings and its bound task.

    Args:
        config: the options that it was started with, and the backend options that are given now.
        queries: returns the queries, always in the same order.
        given: the names of the backend options that are given now.
    """

    directory: RunDirectory
    config: Config
    settings: GenerateSettings
    task: Task
    queries: Callable[[], Iterator[Query]]
    given: frozenset[str]

    def picked(self, numbers: Sequence[int]) -> Iterator[Query]:
        """Yield the queries with these numbers, which are in ascending order; reads no query after the last of them."""
        selected = set(numbers)
        return (query for query in islice(self.queries(), numbers[-1] + 1) if query.number in selected)

    def models(self, student: str | None = None, resolved: Resolved | None = None) -> Models:
        """Return the run's models, whose backends are created on first use.

        Args:
            student: the model that is trained, where it is not the one that the run was started with.
            resolved: what a stage resolved when it was first opened; None: resolve now, but for the day.

        Raises:
            UsageError: a backend is no longer installed, or the run alone names an address to which the user's key would go.
        """
        config = replace(self.config, teacher=self.settings.teacher, student=student or self.settings.student)
        specs = resolve_models(config, self.task)
        check_addresses(config, {spec.backend for spec in specs.values()}, self.given)
        day = {side: {DATE: row[DATE]} for side, row in self.settings.resolved.items() if DATE in row}
        return open_models(specs, day if resolved is None else resolved)


def reopen(directory: RunDirectory, backend_options: BackendOptions | None = None) -> OpenedRun:
    """Return a run that was started before, opened.

    Args:
        backend_options: backend options that do not change any row, such as prices.

    Raises:
        RunError: there is no run, it cannot be read, a file of it is missing or was changed, or an option would change rows.
        UsageError: the task is no longer installed, or an option is invalid.
    """
    settings = directory.settings(GenerateSettings)
    directory.check_all()
    inputs = stored_inputs(directory, settings.format)
    now = backend_options or {}
    config = with_options(config_of(directory), now, inputs.task)
    return OpenedRun(directory, config, settings, inputs.task, inputs.queries, frozenset(now))
