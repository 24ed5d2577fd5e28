"""From what the user typed to teacher, student and their backends."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from pdistill.core.contract.interfaces import Backend, Student, Teacher
from pdistill.core.contract.options import as_text, build
from pdistill.core.contract.plugins import installed
from pdistill.core.contract.prices import Prices
from pdistill.core.contract.task import Task
from pdistill.core.errors import RunError, UsageError
from pdistill.core.setup.config import Config
from pdistill.core.store.rundir import differences

Role = Literal["teacher", "student"]
ROLES: tuple[Role, ...] = ("teacher", "student")


@dataclass(frozen=True, slots=True)
class Side:
    """One side of the distillation: which backend runs which model, with which options."""

    backend: str
    model: str
    options: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The model as BACKEND:MODEL."""
        return f"{self.backend}:{self.model}"


def sides(config: Config, task: Task) -> dict[Role, Side]:
    """Return both sides: the model that was named, the task's, the backend's; the student is the teacher's model.

    Raises:
        UsageError: an unknown backend, an option that it has not, or no model is named.
    """
    teacher = one_side(config.teacher, "teacher", config.backend, config.backend_options, task.models)
    named = config.student or (f"{teacher.backend}:{teacher.model}" if config.teacher else None)
    student = one_side(named, "student", config.backend, config.backend_options, task.models)
    return {"teacher": teacher, "student": student}


def one_side(
    named: str | None,
    role: Role,
    backend: str,
    backend_options: Mapping[str, Any],
    defaults: Mapping[str, str] | None = None,
) -> Side:
    """Return one side.

    Args:
        named: its model as [BACKEND:]MODEL, or None.
        backend: runs a model that names none.
        defaults: by backend, the model where none is named.

    Raises:
        UsageError: an unknown backend, an option that it has not, or no model is named.
    """
    backends = installed().backends
    before, colon, after = (named or "").partition(":")
    backend, model = (before, after) if colon and before in backends else (backend, named or "")
    entry = backends[backend]
    options = role_options(backend_options, role)
    built: Any = build(entry.options, options, f"backend {backend}")
    if not model:
        default = (defaults or {}).get(backend) or entry.create(built).default_model
        if not default:
            raise UsageError(f"there is no model; give --{role} MODEL (backend {backend} has no default for this task)")
        model = default
    return Side(backend, model, options)


def role_options(options: Mapping[str, Any], role: Role) -> dict[str, Any]:
    """Return the backend options that hold for one side, without their "teacher." or "student."."""
    common = {key: value for key, value in options.items() if key.partition(".")[0] not in ROLES or "." not in key}
    own = {key.partition(".")[2]: value for key, value in options.items() if key.startswith(f"{role}.")}
    return {**common, **own}


def changing_rows(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the backend options that can change a row, and so belong to what a run was made with.

    Others are those whose field has `metadata={"changes_rows": False}`: a concurrency, a time limit.
    """
    declared = [item for entry in installed().backends for item in fields(entry.options)]
    harmless = {item.name for item in declared if not item.metadata.get("changes_rows", True)}
    return {key: as_text(value) for key, value in options.items() if key.rpartition(".")[2] not in harmless}


def alike(both: Mapping[Role, Side]) -> bool:
    """Return whether both sides are the same model, run in the same way; what changes no row does not count."""
    ways = [(side.backend, side.model, changing_rows(side.options)) for side in both.values()]
    return ways[0] == ways[1]


def with_options(config: Config, now: Mapping[str, Any], task: Task) -> Config:
    """Return the configuration with the backend options that are given now; none of them may change a row.

    Raises:
        UsageError: an option that the backend has not, or a value that won't do.
        RunError: one would change rows; it says which value differs.
    """
    if not now:
        return config
    options = {**config.backend_options, **now}
    renewed = replace(config, backend_options=options)
    sides(renewed, task)
    differing = differences(
        {"backend_options": changing_rows(config.backend_options)}, {"backend_options": changing_rows(options)}
    )
    if differing:
        raise RunError(
            f"the run in '{config.directory}' was made otherwise: {differing[0]}; only an option that changes no row can be "
            "given now"
        )
    return renewed


class Models:
    """The backends that one stage uses: opened when they are asked for, one where both sides have the same.

    Args:
        stored: by side, what a stage resolved when it first opened; None: resolve now.
    """

    def __init__(self, both: Mapping[Role, Side], stored: Mapping[str, Any] | None = None) -> None:
        self._sides = both
        self._stored = stored or {}
        self._open: list[tuple[Side, Backend]] = []
        self.resolved: dict[str, Any] = {}

    def teacher(self) -> Teacher:
        """Return the teacher.

        Raises:
            BackendError: its model or what runs it is missing.
        """
        return self._backend("teacher").teacher(self._sides["teacher"].model)

    def student(self, directory: Path) -> Student:
        """Return the student, whose URIs are relative to `directory`.

        Raises:
            BackendError: its model or what runs it is missing.
        """
        return self._backend("student").student(self._sides["student"].model, directory)

    def prices(self, role: Role) -> Prices | None:
        """Return what the tokens of one side's model cost, or None where that is unknown.

        Raises:
            BackendError: what runs it is missing.
        """
        return self._opened(role).prices(self._sides[role].model)

    def name(self, role: Role) -> str:
        """Return one side's model as BACKEND:MODEL."""
        return self._sides[role].id

    def _backend(self, role: Role) -> Backend:
        backend = self._opened(role)
        self.resolved[role] = dict(backend.resolve(self._stored.get(role)))
        return backend

    def _opened(self, role: Role) -> Backend:
        side = self._sides[role]
        same = (
            backend for other, backend in self._open if (other.backend, other.options) == (side.backend, side.options)
        )
        backend = next(same, None)
        if backend is None:
            entry = installed().backends[side.backend]
            backend = entry.create(build(entry.options, side.options, f"backend {side.backend}"))
            self._open.append((side, backend))
        return backend
