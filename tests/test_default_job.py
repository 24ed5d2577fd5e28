"""The default job with the built-in model: its figures, single stages, and kills at fixed times. Takes minutes, not seconds."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.runs import SECONDS, contents

pytestmark = pytest.mark.slow

KILLS = 4
LIMIT = ("--limit", "150")


def pdistill(*args: str, folder: Path) -> subprocess.Popen[str]:
    """Start the command in a folder, in a process group of its own."""
    command = [sys.executable, "-m", "pdistill", *args]
    return subprocess.Popen(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(*args: str, folder: Path) -> str:
    """Return the output of the command, which must succeed."""
    process = pdistill(*args, folder=folder)
    said, errors = process.communicate()
    assert process.returncode == 0, errors
    return said


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("whole")
    return folder, json.loads(finish("run", "--task", "langid", "--json", folder=folder))


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    folder, began = tmp_path_factory.mktemp("short"), time.monotonic()
    finish("run", "--task", "langid", *LIMIT, folder=folder)
    return folder, time.monotonic() - began


def test_the_student_answers_without_the_prompt_as_the_teacher_does_with_it(whole: tuple[Path, dict[str, Any]]) -> None:
    arms = whole[1]["arms"]
    assert arms["teacher"]["accuracy"]["value"] >= 0.93
    assert arms["base"]["agreement"]["value"] <= 0.05
    assert arms["student"]["agreement"]["value"] >= 0.97


def test_a_rerun_changes_no_byte(whole: tuple[Path, dict[str, Any]]) -> None:
    folder, report = whole
    before = contents(folder / "runs", without=set())
    assert json.loads(finish("run", "--task", "langid", "--json", folder=folder)) == report
    assert contents(folder / "runs", without=set()) == before


def test_the_student_is_sampled(whole: tuple[Path, dict[str, Any]]) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "pdistill", "sample", "langid", "--json"],
        cwd=whole[0],
        input="Wir treffen uns morgen früh am Bahnhof.\n\n404 + 17\n",
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [json.loads(line) for line in process.stdout.splitlines()]
    assert [set(row) for row in rows] == [{"query", "response", "finish"}] * 3
    assert (rows[0]["response"], rows[2]["response"]) == ("de", "ot")


@pytest.mark.parametrize("merge", [(), ("--merge",)])
def test_export_gives_the_evaluated_answers(
    whole: tuple[Path, dict[str, Any]], tmp_path: Path, merge: tuple[str, ...]
) -> None:
    parity = json.loads(finish("export", "langid", str(tmp_path / "out"), *merge, "--json", folder=whole[0]))
    assert parity["queries"] == parity["equal"] == whole[1]["n"]["eval"]
    (script,) = re.findall(r"```python\n(.*?)```", (tmp_path / "out" / "README.md").read_text(), re.DOTALL)
    command = [sys.executable, "-I", "-W", "ignore", "-c", script.replace("your query", "404 + 17")]
    printed = subprocess.run(command, cwd=tmp_path / "out", capture_output=True, text=True, check=True).stdout
    assert printed == "ot\n"


def test_step_by_step_gives_the_same_bytes(short: tuple[Path, float], tmp_path: Path) -> None:
    finish("generate", "--task", "langid", *LIMIT, folder=tmp_path)
    for stage in ("train", "evaluate", "report"):
        finish(stage, "langid", folder=tmp_path)
    without = {"timings.jsonl", *SECONDS}
    assert contents(tmp_path / "runs", without=without) == contents(short[0] / "runs", without=without)


def test_a_run_killed_by_the_clock_ends_in_the_same_bytes(short: tuple[Path, float], tmp_path: Path) -> None:
    chance = random.Random(11)
    for _ in range(KILLS):
        process = pdistill("run", "--task", "langid", *LIMIT, folder=tmp_path)
        try:
            process.communicate(timeout=chance.uniform(0.1, 0.7) * short[1])
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
    finish("run", "--task", "langid", *LIMIT, folder=tmp_path)
    without = {"timings.jsonl", *SECONDS}
    assert contents(tmp_path / "runs", without=without) == contents(short[0] / "runs", without=without)
