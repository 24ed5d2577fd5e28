"""The pytest plugin of pdistill: fixtures, and checks that every task and every backend must pass.

pytest loads it wherever pdistill is installed. Nothing runs unless a test uses it, and importing it is cheap.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pdistill.backends.fake import FakeBackend
    from pdistill.core.contract.interfaces import Backend
    from pdistill.core.contract.task import Task

__all__ = [
    "backend_checks",
    "check_backend",
    "check_task",
    "fake_backend",
    "run_directory",
    "task_checks",
    "teacher_checks",
]


@pytest.fixture
def run_directory(tmp_path: Path) -> Path:
    """Return the path of a run directory that does not exist yet, in the test's own temporary directory."""
    return tmp_path / "run"


@pytest.fixture
def fake_backend() -> "Iterator[Callable[..., FakeBackend]]":
    """Return a factory for fake backends: `fake_backend(teacher=..., name=..., latency=0.01)`.

    `teacher` is a function of prompt and query, or a mapping from query to answer. With a `name`, the backend is
    registered under it while the test runs, so that a whole run finds it. Other keyword arguments are fields of FakeOptions.
    """
    from pdistill.backends.fake import FakeBackend, FakeOptions
    from pdistill.core.contract.plugins import installed

    backends, names = installed().backends, []

    def make(teacher: Any = None, name: str | None = None, **options: Any) -> FakeBackend:
        if name is not None:
            backends.register(name, lambda given: FakeBackend(given, teacher=teacher), options=FakeOptions)
            names.append(name)
        return FakeBackend(FakeOptions(**options), teacher=teacher)

    yield make
    for name in names:
        backends.remove(name)


def task_checks() -> tuple[str, ...]:
    """Return the names of the checks of a task, for parametrizing a test."""
    from pdistill.testing.tasks import CHECKS

    return tuple(CHECKS)


def backend_checks() -> tuple[str, ...]:
    """Return the names of the checks of a backend, for parametrizing a test."""
    from pdistill.testing.backends import CHECKS

    return tuple(CHECKS)


def teacher_checks() -> tuple[str, ...]:
    """Return the names of the checks of a backend that need no student, for backends that only have teachers."""
    from pdistill.testing.backends import TEACHER_CHECKS

    return tuple(TEACHER_CHECKS)


def check_task(task: "Task", *names: str) -> None:
    """Guarantee that a task fulfils the contract that the core relies on.

    Args:
        task: the task, as its plugin creates it.
        names: the checks to run, from `task_checks()`; none means all of them.

    Raises:
        AssertionError: a check failed; says which one, on what, and how to fix it.
    """
    from pdistill.testing.tasks import CHECKS

    for name in names or CHECKS:
        _run_check(name, partial(CHECKS[name], task))


def check_backend(
    backend: "Backend", *names: str, teacher_model: str, student_model: str, directory: Path, exact: bool = True
) -> None:
    """Guarantee that a backend fulfils the contract that the core relies on.

    Args:
        backend: the backend, as its plugin creates it.
        names: the checks to run, from `backend_checks()`; none means all of them.
        teacher_model: a model that the backend can run as a teacher.
        student_model: a model that the backend can train; a small one, as each check trains it for a dozen steps. The
            checks in `teacher_checks()` train nothing.
        directory: an empty directory for the student's files.
        exact: whether resumed training must give the same bytes as uninterrupted training; otherwise its losses may
            differ by 0.001.

    Raises:
        AssertionError: a check failed; says which one, on what, and how to fix it.
    """
    from pdistill.testing.backends import CHECKS
    from pdistill.testing.bench import Bench

    for name in names or CHECKS:
        folder = directory / name
        folder.mkdir(parents=True)
        bench = Bench(backend, teacher_model, student_model, folder, exact)
        _run_check(name, partial(CHECKS[name], bench))


def _run_check(name: str, check: Callable[[], None]) -> None:
    try:
        check()
    except AssertionError as error:
        raise AssertionError(f"{name}: {error}") from error
