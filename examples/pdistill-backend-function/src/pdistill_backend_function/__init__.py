"""A backend for pdistill: a Python function as the teacher, such as a rule engine, or a call to a library or a service."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pdistill import Registry, hookimpl
from pdistill.plugin import Backend, BackendError, Capability, Prices, Student
from pdistill_backend_function.sampler import FunctionSampler, load


@dataclass(frozen=True)
class Options:
    """What `-B key=value` sets.

    Args:
        workers: number of concurrent calls of the function, in threads.
    """

    workers: int = field(default=8, metadata={"changes_rows": False})


class FunctionTeacher:
    """A function that answers with the prompt."""

    capabilities: frozenset[Capability] = frozenset(("generate",))

    def __init__(self, model: str, options: Options) -> None:
        self.id = model
        self._options = options

    def renderer(self) -> None:
        """Return None: a function has no tokens."""

    def sampler(self) -> nullcontext[FunctionSampler]:
        """Yield the loaded function.

        Raises:
            BackendError: there is no such function.
        """
        return nullcontext(FunctionSampler(load(self.id), self.id, self._options.workers))


class FunctionBackend:
    """Functions in Python files, named FILE.py:FUNCTION."""

    default_model: str | None = None

    def __init__(self, options: Options) -> None:
        self._options = options

    def resolve(self, stored: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Return nothing: no answer depends on the machine."""
        return {}

    def prices(self, model: str) -> Prices | None:
        """Return None: only the function knows what a call costs."""
        return None

    def teacher(self, model: str) -> FunctionTeacher:
        """Return the function as a teacher."""
        return FunctionTeacher(model, self._options)

    def student(self, model: str, directory: Path) -> Student:
        """Return nothing.

        Raises:
            BackendError: always; a function can't be trained.
        """
        raise BackendError(
            f"backend function can't train '{model}'; name a student of another backend, such as --student local:MODEL"
        )


@hookimpl
def pdistill_register_backends(backends: Registry[Backend]) -> None:
    """Register the backend `function`."""
    summary = "a Python function of yours as the teacher, --teacher function:FILE.py:FUNCTION"
    backends.register("function", FunctionBackend, options=Options, summary=summary)
