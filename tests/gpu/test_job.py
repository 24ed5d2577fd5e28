"""The default job with few queries, as a user starts it: whole, and killed three times and continued."""

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
MOMENTS = ("responses.jsonl.part", "checkpoints/step-*", "evaluate.json")
"""What is there when a run is killed: some answers, a saved state, the adapter."""
NEAR = 0.0 if not ON_GPU else 0.1
"""Nats per token. In a run, the backward pass of a GPU's attention is not the deterministic one."""


def command(device: str) -> list[str]:
    options = ["-B", f"device={device}", "-B", "engine=torch", "--limit", str(LIMIT)]
    return [sys.executable, "-m", "pdistill", "run", "--task", "langid", "--json", *options]


def finished(device: str, folder: Path) -> dict[str, Any]:
    """The report of a run in a folder; the run must succeed."""
    done = subprocess.run(command(device), cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def killed_at(device: str, folder: Path, moment: str) -> None:
    """Start the run and kill it as soon as a file of that name is there."""
    process = subprocess.Popen(
        command(device), cwd=folder, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    while process.poll() is None and not any((folder / "runs" / "langid").glob(moment)):
        time.sleep(0.05)
    process.kill()
    assert process.communicate()[1] is not None
    assert process.returncode == -signal.SIGKILL, f"the run ended before '{moment}' was there"


@pytest.fixture(scope="module")
def whole(device: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("whole")
    return folder / "runs" / "langid", finished(device, folder)


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


def test_a_run_that_is_killed_and_continued_ends_as_one_that_is_not(
    device: str, whole: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    for moment in MOMENTS:
        killed_at(device, tmp_path, moment)
    report, run = finished(device, tmp_path), tmp_path / "runs" / "langid"
    for name in ("queries.jsonl", "responses.jsonl", "examples.jsonl"):
        assert (run / name).read_bytes() == (whole[0] / name).read_bytes(), name
    assert losses(run) == pytest.approx(losses(whole[0]), rel=NEAR, abs=NEAR)
    if not ON_GPU:
        weights = "adapter/adapter_model.safetensors"
        assert (run / weights).read_bytes() == (whole[0] / weights).read_bytes()
    arms = [found["arms"]["student"]["agreement"]["value"] for found in (report, whole[1])]
    assert abs(arms[0] - arms[1]) <= NEAR
