"""A run on the fake backend is killed before, between or within disk operations, and ends with the same bytes."""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pdistill.core import pipeline
from pdistill.core.setup.config import Config
from pdistill.core.store import rowfile
from tests.runs import SECONDS, contents, fake_config

TOUCHES = {"open", "os.rename", "os.truncate", "os.mkdir", "os.rmdir", "os.remove"}
POINTS = 24


class Moments:
    """Counts the moments at which a run can be killed, and kills it at the chosen one."""

    def __init__(self, run_dir: Path, kill_at: int) -> None:
        self.count = 0
        self._run_dir = str(run_dir)
        self._kill_at = kill_at
        sys.addaudithook(self._hook)
        rowfile.RowWriter._write = self._write()  # type: ignore[method-assign, assignment]

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in TOUCHES and str(arguments[0]).startswith(self._run_dir):
            self._moment()

    def _moment(self) -> None:
        self.count += 1
        if self.count == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def _write(self) -> Callable[[rowfile.RowWriter, bytes], None]:
        moments, write = self, rowfile.RowWriter._write

        def torn(writer: rowfile.RowWriter, content: bytes) -> None:
            write(writer, content[: len(content) // 2])
            moments._moment()
            write(writer, content[len(content) // 2 :])
            moments._moment()

        return torn


def killed(config: Config, kill_at: int) -> int:
    """Run in a child process that is killed at a moment; return the number of moments, or 0 if it was killed."""
    return killed_job(lambda: pipeline.run(config), config.directory, kill_at)


def killed_job(job: Callable[[], object], folder: Path, kill_at: int) -> int:
    """Do for any job that writes below a folder what `killed` does for a run."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        moments = Moments(folder, kill_at)
        try:
            job()
            os.write(writing, str(moments.count).encode())
            os._exit(0)
        except BaseException as error:  # noqa: BLE001 - reported by the parent
            os.write(writing, f"{type(error).__name__}: {error}".encode())
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading) as said:
        text = said.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return 0
    assert os.WEXITSTATUS(status) == 0, text
    return int(text)


VARIANTS: dict[str, dict[str, Any]] = {
    "streaming": {"backend_options": {"shuffle": "true"}},
    "chunks": {"backend_options": {"chunk": "7"}, "limit": 29, "seed": 1},
}


@pytest.fixture(scope="module", params=VARIANTS)
def whole(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Config, int, dict[str, bytes]]:
    folder = tmp_path_factory.mktemp("whole")
    config = fake_config(folder, folder / "run", **VARIANTS[request.param])
    moments = killed(config, kill_at=0)
    assert moments > POINTS
    assert (config.directory / "preflight.json").exists()
    return config, moments, contents(config.directory, without={"timings.jsonl", *SECONDS})


@pytest.mark.parametrize("point", range(POINTS))
def test_a_killed_run_ends_in_the_same_bytes(
    whole: tuple[Config, int, dict[str, bytes]], point: int, tmp_path: Path
) -> None:
    config, moments, expected = whole
    config = replace(config, run_dir=tmp_path / "run")
    kill_at = 1 + point * (moments - 1) // (POINTS - 1)
    assert killed(config, kill_at) == 0
    assert killed(config, kill_at=0) > 0
    found = contents(config.directory, without={"timings.jsonl", *SECONDS})
    assert found.keys() == expected.keys()
    differing = [name for name in expected if name != "run.json" and found[name] != expected[name]]
    assert differing == []


def test_a_run_killed_again_and_again_ends_in_the_same_bytes(
    whole: tuple[Config, int, dict[str, bytes]], tmp_path: Path
) -> None:
    config, _, expected = whole
    config = replace(config, run_dir=tmp_path / "run")
    kills = 0
    while killed(config, kill_at=29 + 9 * kills) == 0:
        kills += 1
        assert kills < 100
    assert kills >= 3
    found = contents(config.directory, without={"timings.jsonl", "run.json", *SECONDS})
    assert found == {name: content for name, content in expected.items() if name != "run.json"}
