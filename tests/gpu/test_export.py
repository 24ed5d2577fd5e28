"""A student trained on the device is exported in float32, gives the answers of its run, and is served from there."""

import json
import subprocess
import sys
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from pdistill.core.delivery.export import export
from tests.backends.local_runs import CHAT_FRAME, LocalRun, run_student
from tests.gpu.device import HALVES
from tests.served import address_of

RUNS = {"chat": ("qwen3", CHAT_FRAME), "text": ("gpt2", "{query}\tis")}


def run(folder: Path, kind: str, device: str, dtype: str) -> LocalRun:
    options = {"student.device": device, "student.dtype": dtype, "student.engine": "torch"}
    return run_student(folder, *RUNS[kind], backend_options=options)


@pytest.mark.parametrize("kind", RUNS)
@pytest.mark.parametrize("merge", [False, True])
def test_in_float32_every_answer_is_the_recorded_one(device: str, kind: str, merge: bool, tmp_path: Path) -> None:
    student = run(tmp_path, kind, device, "float32")
    parity = export(student.directory, tmp_path / "out", merge=merge)
    assert parity.queries == parity.equal == len(student.answers) > 5


@pytest.mark.parametrize("dtype", HALVES)
def test_in_16_bits_nearly_every_answer_is_the_recorded_one(device: str, dtype: str, tmp_path: Path) -> None:
    student = run(tmp_path, "text", device, dtype)
    parity = export(student.directory, tmp_path / "out", min_parity=0, merge=True)
    assert parity.equal >= 0.75 * parity.queries


def test_it_is_served_from_the_device(device: str, tmp_path: Path) -> None:
    pytest.importorskip("uvicorn", reason="pip install 'pdistill[serve]'")
    student = run(tmp_path, "chat", device, "float32")
    query, expected = next(iter(student.answers.items()))
    command = [sys.executable, "-m", "pdistill", "serve", str(student.directory.path), "--port", "0"]
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            address = f"{address_of(process)}/chat/completions"
            body = json.dumps({"model": "run", "messages": [{"role": "user", "content": query}]}).encode()
            with urlopen(Request(address, body, {"Content-Type": "application/json"}), timeout=300) as answer:
                choice = json.load(answer)["choices"][0]
        finally:
            process.terminate()
    assert (choice["message"]["content"], choice["finish_reason"]) == (expected, "stop")
