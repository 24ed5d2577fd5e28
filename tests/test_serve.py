"""`pdistill serve` as a separate process, stopped in the middle of an answer. Takes minutes, not seconds."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.backends.local_runs import run_student
from tests.served import PROGRAM, address_of

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_server_and_finishes_the_answer(tmp_path: Path, number: signal.Signals) -> None:
    run = run_student(tmp_path / "job", "llama", "{query}")
    command = [sys.executable, "-c", PROGRAM, "serve", str(run.directory.path), "--port", "0"]
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        client = openai.OpenAI(base_url=address_of(process), api_key="none", max_retries=0)
        messages: Any = [{"role": "user", "content": next(iter(run.answers))}]
        parts = iter(client.chat.completions.create(model="run", messages=messages, stream=True))
        next(parts)
        process.send_signal(number)
        rest = [part.choices[0].finish_reason for part in parts]
        assert rest[-1] == "stop"
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 130, errors
        assert errors.splitlines()[-1] == "stopped"
        assert "Traceback" not in errors
