"""`pdistill serve` as a separate process, stopped in the middle of an answer. Takes minutes, not seconds."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.backends.local_runs import run_student

pytestmark = pytest.mark.slow

PROGRAM = (
    "import signal\n"
    "from pdistill.cli.main import main\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "main()\n"
)
"""The command line as started from a terminal: background processes of a script ignore Ctrl-C."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_server_and_finishes_the_answer(tmp_path: Path, number: signal.Signals) -> None:
    run = run_student(tmp_path / "job", "llama", "{query}")
    command = [sys.executable, "-c", PROGRAM, "serve", str(run.directory.path), "--port", "0"]
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        said = process.stdout.readline()
        assert said.startswith("run is served at http://127.0.0.1:"), process.communicate()
        client = openai.OpenAI(base_url=said.split()[3].rstrip(";"), api_key="none", max_retries=0)
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
