"""The models of a run: from the user's options to teacher, student and their backends."""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pdistill.core.contract.interfaces import SIDES, Backend, MachineSettings, Resolved, Side, Student, Teacher
from pdistill.core.contract.jsontext import JsonObject, OptionValues
from pdistill.core.contract.optionfields import ADDRESS
from pdistill.core.contract.options import as_text, build
from pdistill.core.contract.plugins import installed
from pdistill.core.contract.prices import Prices
from pdistill.core.contract.task import Task
from pdistill.core.errors import RunError, UsageError
from pdistill.core.setup.config import Config
from pdistill.core.store.rundir import differences

THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
BackendOptions = OptionValues
"""Options by name, as texts or TOML values; a name that begins with "teacher." or "student." applies to one side."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model, the backend that runs it, and its options."""

    backend: str
    model: str
    options: BackendOptions

    @property
    def id(self) -> str:
        """The model as BACKEND:MODEL."""
        return f"{self.backend}:{self.model}"

    def same_model(self, other: "ModelSpec") -> bool:
        """Return whether both are the same model, run in the same way; options that do not change any row are ignored."""
        one, two = ((spec.backend, spec.model, row_options(spec.options)) for spec in (self, other))
        return one == two

    def create_backend(self) -> Backend:
        """Return the backend that runs the model.

        Raises:
            UsageError: an option is invalid.
            BackendError: there is no such model, as far as the backend can tell before it is created.
        """
        entry = installed().backends[self.backend]
        options: Any = build(entry.options, self.options, f"backend {self.backend}")
        check = getattr(options, "check_model", None)
        if check is not None:
            check(self.model)
        return entry.create(options)


ModelSpecs = Mapping[Side, ModelSpec]


def resolve_models(config: Config, task: Task) -> dict[Side, ModelSpec]:
    """Return both models: as named by the user, else the task's, else the backend's; by default both are the same.

    Raises:
        UsageError: an unknown backend or option, or no model is named.
    """
    teacher = resolve_model(config.teacher, "teacher", config.backend, config.backend_options, task.models)
    named = config.student or (teacher.id if config.teacher else None)
    student = resolve_model(named, "student", config.backend, config.backend_options, task.models)
    return {"teacher": teacher, "student": student}


def resolve_model(
    named: str | None,
    side: Side,
    backend: str,
    backend_options: BackendOptions,
    defaults: Mapping[str, str] | None = None,
) -> ModelSpec:
    """Return the model of one side.

    Args:
        named: the model as [BACKEND:]MODEL, or None.
        backend: the backend of a model that names none.
        defaults: the default model, by backend.

    Raises:
        UsageError: an unknown backend or option, or no model is named.
    """
    before, colon, after = (named or "").partition(":")
    backend, model = (before, after) if colon and before in installed().backends else (backend, named or "")
    entry, options = installed().backends[backend], side_options(backend_options, side)
    built: Any = build(entry.options, options, f"backend {backend}")
    if not model:
        model = (defaults or {}).get(backend) or entry.create(built).default_model or ""
    if not model:
        raise UsageError(f"there is no model; give --{side} MODEL (backend {backend} has no default for this task)")
    return ModelSpec(backend, model, options)


def side_options(options: BackendOptions, side: Side) -> JsonObject:
    """Return the backend options that apply to one side, without their prefix "teacher." or "student."."""
    common = {key: value for key, value in options.items() if key.partition(".")[0] not in SIDES or "." not in key}
    own = {key.partition(".")[2]: value for key, value in options.items() if key.startswith(f"{side}.")}
    return {**common, **own}


def row_options(options: BackendOptions) -> dict[str, str]:
    """Return the backend options that can change a row, and so identify a run.

    The others are marked with `metadata={"changes_rows": False}` on their field: a concurrency, a time limit.
    """
    declared = [item for entry in installed().backends for item in fields(entry.options)]
    harmless = {item.name for item in declared if not item.metadata.get("changes_rows", True)}
    return {key: as_text(value) for key, value in options.items() if key.rpartition(".")[2] not in harmless}


def check_addresses(config: Config, backends: Collection[str], given: Collection[str]) -> None:
    """Guarantee that the user's key goes to no address that only the run itself names.

    An address is the user's own if it is given now or holds in the environment, or if it is on this machine.

    Args:
        backends: the names of those that are used.
        given: the names of the backend options that are given now.

    Raises:
        UsageError: the address is another.
    """
    for name in sorted(backends):
        for item in fields(installed().backends[name].options):
            variable, secret = item.metadata.get(ADDRESS) or ("", "")
            for key, value in config.backend_options.items():
                if not variable or key.rpartition(".")[2] != item.name or key in given or not os.environ.get(secret):
                    continue
                if os.environ.get(variable) != value and urlsplit(str(value)).hostname not in THIS_MACHINE:
                    raise UsageError(
                        f"the run in '{config.directory}' names the address {value!r}, to which {secret} would be sent; if "
                        f"you trust it, set {variable} to that address"
                    )


def with_options(config: Config, now: BackendOptions, task: Task) -> Config:
    """Return the configuration, updated with backend options, none of which may change a row.

    Raises:
        UsageError: an unknown option or an invalid value.
        RunError: one would change rows; it says which value differs.
    """
    if not now:
        return config
    options = {**config.backend_options, **now}
    updated = replace(config, backend_options=options)
    resolve_models(updated, task)
    differing = differences(
        {"backend_options": row_options(config.backend_options)}, {"backend_options": row_options(options)}
    )
    if differing:
        raise RunError(
            f"the run in '{config.directory}' was made with other options: {differing[0]}; only options that do not change "
            "any row can be changed now"
        )
    return updated


class Model:
    """One model with its backend, which is created on first use.

    Args:
        stored: what was resolved for it when a stage was first opened; None: resolve now.
        backend: creates the backend, where models share one.
    """

    def __init__(
        self, spec: ModelSpec, stored: MachineSettings | None = None, backend: "_Opener | None" = None
    ) -> None:
        self.spec = spec
        self._first: MachineSettings | None = None
        self._stored = stored
        self._opener = backend or _Opener(spec)

    @property
    def id(self) -> str:
        """The model as BACKEND:MODEL."""
        return self.spec.id

    def teacher(self) -> Teacher:
        """Return the model as a teacher.

        Raises:
            BackendError: the model or a package that runs it is missing.
        """
        return self._backend().teacher(self.spec.model)

    def student(self, directory: Path) -> Student:
        """Return the model as a student, whose URIs are relative to `directory`.

        Raises:
            BackendError: the model or a package that runs it is missing.
        """
        return self._backend().student(self.spec.model, directory)

    def prices(self) -> Prices | None:
        """Return the prices of the model's tokens, or None where they are unknown.

        Raises:
            BackendError: a package that runs it is missing.
        """
        return self._opener.backend().prices(self.spec.model)

    @property
    def resolved(self) -> MachineSettings | None:
        """The machine settings, once `teacher` or `student` was called."""
        return None if self._first is None else dict(self._opener.backend().resolve(self._first))

    def _backend(self) -> Backend:
        backend = self._opener.backend()
        self._first = dict(backend.resolve(self._stored))
        return backend


class _Opener:
    """Creates a backend once, for all models that share it."""

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec
        self._backend: Backend | None = None

    def backend(self) -> Backend:
        if self._backend is None:
            self._backend = self._spec.create_backend()
        return self._backend


@dataclass(frozen=True, slots=True)
class Models:
    """The two models of a run."""

    teacher: Model
    student: Model

    @property
    def by_side(self) -> dict[Side, Model]:
        """The models by side."""
        return {"teacher": self.teacher, "student": self.student}

    @property
    def same_model(self) -> bool:
        """Whether both sides are the same model, run in the same way."""
        return self.teacher.spec.same_model(self.student.spec)

    @property
    def resolved(self) -> dict[str, MachineSettings]:
        """The machine settings of each side whose model was used."""
        return {side: model.resolved for side, model in self.by_side.items() if model.resolved is not None}


def open_models(specs: ModelSpecs, stored: Resolved | None = None) -> Models:
    """Return the models of a run; they share a backend where its name and options are the same.

    Args:
        stored: by side, what a stage resolved when it was first opened; None: resolve now.
    """
    stored = stored or {}
    teacher, student = specs["teacher"], specs["student"]
    opener = _Opener(teacher)
    shared = (teacher.backend, teacher.options) == (student.backend, student.options)
    return Models(
        Model(teacher, stored.get("teacher"), opener),
        Model(student, stored.get("student"), opener if shared else None),
    )
