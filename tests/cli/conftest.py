"""A finished run of the fake backend, made once from rows, and a way to call commands."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pdistill.cli.main import pdistill
from tests.cli.colours import LABELS, build_colours, write_files

Call = Callable[..., Result]
Job = Callable[[Path], list[object]]


@pytest.fixture(scope="session")
def call() -> Call:
    """Return a function that runs `pdistill` with arguments, in this process."""

    def invoke(*args: object, input: bytes | None = None) -> Result:
        return CliRunner().invoke(pdistill, [str(arg) for arg in args], input=input)

    return invoke


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a prompt and queries."""
    folder = tmp_path_factory.mktemp("files")
    write_files(folder)
    return folder


@pytest.fixture(scope="session")
def job(files: Path) -> Job:
    """Return a function that gives the options of a small job on the fake backend."""

    def options(run: Path) -> list[object]:
        return [
            *("--prompt", files / "prompt.txt", "--queries", files / "queries.jsonl", "--labels", ",".join(LABELS)),
            *("--backend", "fake", "--run-dir", run),
        ]

    return options


@pytest.fixture(scope="session")
def finished(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished run."""
    return build_colours(tmp_path_factory.mktemp("runs") / "colours", files).path
