"""The default job with few queries, as a user starts it: in one go, and killed three times and resumed."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pdistill.core.store.rows import read_rows
from tests.gpu.device import ON_GPU

LIMIT = 150
KILL_AT = ("responses.jsonl.part", "checkpoints/step-*", "evaluate.json")
"""The files that exist when a run is killed: some answers, a saved state, the adapter."""
TOLERANCE = 0.0 if not ON_GPU else 0.1
"""Nats per token. The backward pass of a GPU's attention is not deterministic in a run."""


def command(device: str) -> list[str]:
    options = ["-B", f"device={device}", "-B", "engine=torch", "--limit", str(LIMIT)]
    return [sys.executable, "-m", "pdistill", "run", "--task", "langid", "--json", *options]


def finish(device: str, folder: Path) -> dict[str, Any]:
    """Run the job in a folder, which must succeed, and return its report."""
    done = subprocess.run(command(device), cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def kill_at(device: str, folder: Path, name: str) -> None:
    """Start the run, and kill it as soon as a file of that name exists."""
    process = subprocess.Popen(
        command(device), cwd=folder, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    while process.poll() is None and not any((folder / "runs" / "langid").glob(name)):
        time.sleep(0.05)
    process.kill()
    assert process.communicate()[1] is not None
    assert process.returncode == -signal.SIGKILL, f"the run ended before '{name}' existed"


@pytest.fixture(scope="module")
def whole(device: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("whole")
    return folder / "runs" / "langid", finish(device, folder)


def losses(run: Path) -> list[float]:
    return [row["loss"] for row in read_rows(run / "metrics.jsonl")]


def test_the_student_answers_without_the_prompt_as_the_teacher_does_with_it(
    device: str, whole: tuple[Path, dict[str, Any]]
) -> None:
    arms = whole[1]["arms"]
    assert arms["teacher"]["accuracy"]["value"] >= 0.9
    assert arms["base"]["agreement"]["value"] <= 0.3
    assert arms["student"]["agreement"]["value"] >= 0.8
    for stage in ("generate", "train", "evaluate"):
        stored = json.loads((whole[0] / f"{stage}.json").read_text())["resolved"]
        assert {side["device"] for side in stored.values()} == {device}


def test_a_run_that_is_killed_and_resumed_ends_like_one_that_is_not(
    device: str, whole: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    for name in KILL_AT:
        kill_at(device, tmp_path, name)
    report, run = finish(device, tmp_path), tmp_path / "runs" / "langid"
    for name in ("queries.jsonl", "responses.jsonl", "examples.jsonl"):
        assert (run / name).read_bytes() == (whole[0] / name).read_bytes(), name
    assert losses(run) == pytest.approx(losses(whole[0]), rel=TOLERANCE, abs=TOLERANCE)
    if not ON_GPU:
        weights = "adapter/adapter_model.safetensors"
        assert (run / weights).read_bytes() == (whole[0] / weights).read_bytes()
    arms = [each["arms"]["student"]["agreement"]["value"] for each in (report, whole[1])]
    assert abs(arms[0] - arms[1]) <= TOLERANCE
