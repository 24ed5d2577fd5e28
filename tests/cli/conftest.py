"""A finished run of the fake backend, made once by the command line, and a way to call commands."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pdistill.cli.main import pdistill

LABELS = ("red", "green", "blue")
WORDS = {"red": "cherry ruby", "green": "leaf moss", "blue": "sky sea"}

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
    (folder / "prompt.txt").write_text(
        "Answer with the colour of the thing in the text:\ncherry:red\nleaf:green\nsky:blue\n"
    )
    rows = []
    for at in range(60):
        label = LABELS[at % 3]
        rows.append({"query": f"{WORDS[label]} {at} {at**9:x}", "reference": label, "slices": [f"slice-{label}"]})
    (folder / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
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
def finished(call: Call, job: Job, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished run."""
    run = tmp_path_factory.mktemp("runs") / "colours"
    result = call("run", *job(run), "--json")
    assert result.exit_code == 0, result.stderr
    return run
