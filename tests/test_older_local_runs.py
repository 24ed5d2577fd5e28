"""Run directories that version 0.1.0 left on the local backend: they resume, answer, and their student leaves.

The machine that goes on may compute other last digits than the one that began, so what is compared is what doesn't depend on
them: the files that were complete, and the form of all others.
"""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import openai
import pytest
from click.testing import CliRunner, Result

from pdistill.cli.main import pdistill
from tests.older_runs import Files, stored, unpack, unpack_inputs
from tests.runs import CLOCK, contents
from tests.served import PROGRAM, address_of

GROWING = {"seals.jsonl", "prices.jsonl", "checkpoints.jsonl", *CLOCK}
STEPS = {"metrics.jsonl", *GROWING}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the test work in a folder with what the runs were made from."""
    unpack_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)


def call(*arguments: object) -> Result:
    """Return what `pdistill` says, in this process."""
    result = CliRunner().invoke(pdistill, [str(argument) for argument in arguments])
    assert result.exit_code == 0, (result.stderr, result.exception)
    return result


def rows(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.splitlines()]


def form(files: Files) -> dict[str, Any]:
    """Return what of a finished run's files is the same on every machine: their keys, and the numbers of their rows."""
    found: dict[str, Any] = {}
    for name, content in files.items():
        if name.startswith("checkpoints/"):
            continue
        found[name] = None
        if name.endswith(".jsonl"):
            there = rows(content)
            keys = {key for row in there for key in row} - {"reused"}  # the base's, where resolved is another machine's
            found[name] = keys if name in STEPS else (keys, [row.get("number") for row in there])
        elif name.endswith(".json"):
            found[name] = set(json.loads(content))
    return found


def test_a_finished_run_stays_as_it_is() -> None:
    run = unpack("local", "complete", Path("run"))
    call("run", "--config", "local.toml")
    assert contents(run, without=set()) == stored("local")["complete"]


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["begun", "training", "evaluating"])
def test_a_run_resumes(stage: str) -> None:
    run = unpack("local", stage, Path("run"))
    call("run", "--config", "local.toml")
    found, before = contents(run, without=set()), stored("local")[stage]
    made, expected = form(found), form(stored("local")["complete"])
    assert made.pop("report.json") >= expected.pop("report.json")  # later versions add keys
    assert made == expected
    for name in before.keys() - {name for name in before if name.startswith("checkpoints/")}:
        if name in GROWING:
            assert found[name].startswith(before[name])
        elif not name.endswith(".part"):
            assert found[name] == before[name], name
    if stage == "training":
        last = rows(before["checkpoints.jsonl"])[-1]["step"]
        steps = before["metrics.jsonl.part"].splitlines(keepends=True)
        assert len(steps) > last
        assert found["metrics.jsonl"].startswith(b"".join(steps[:last]))


@pytest.mark.slow
def test_it_is_asked() -> None:
    run = unpack("local", "complete", Path("run"))
    there = rows((run / "predictions-student.jsonl").read_bytes())
    said = call("sample", "run", "--json", *(row["query"] for row in there)).stdout
    answers = [row["response"] for row in rows(said.encode())]
    alike = sum(answer == row["response"] for answer, row in zip(answers, there, strict=True))
    assert alike >= len(there) - 1


@pytest.mark.slow
@pytest.mark.parametrize("flags", [(), ("--merge",)])
def test_its_student_leaves(flags: tuple[str, ...]) -> None:
    unpack("local", "complete", Path("run"))
    row = json.loads(call("export", "run", "out", *flags, "--min-parity", 0.8, "--json").stdout)
    assert row["queries"] == 7
    assert row["equal"] >= 6
    weights = "model.safetensors" if flags else "adapter_model.safetensors"
    assert {weights, "README.md", "export.json"} <= {path.name for path in Path("out").iterdir()}


@pytest.mark.slow
def test_its_student_is_served() -> None:
    run = unpack("local", "complete", Path("run"))
    there = rows((run / "predictions-student.jsonl").read_bytes())
    command = [sys.executable, "-c", PROGRAM, "serve", "run", "--port", "0"]
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        client = openai.OpenAI(base_url=address_of(process), api_key="none", max_retries=0)
        answers = []
        for row in there:
            messages: Any = [{"role": "user", "content": row["query"]}]
            answers.append(client.chat.completions.create(model="run", messages=messages).choices[0].message.content)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 130, errors
    assert sum(answer == row["response"] for answer, row in zip(answers, there, strict=True)) >= len(there) - 1
