"""Run directories that version 0.1.0 left, at every stage: they resume, report, export and serve, to the same bytes."""

import json
import math
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from pdistill.cli.main import pdistill
from tests.older_runs import STAGES, Files, stored, unpack, unpack_inputs
from tests.runs import CLOCK, SECONDS, contents

if TYPE_CHECKING:
    from _pytest.mark.structures import ParameterSet

KINDS = ("plain", "samples", "constrain", "prompts", "text", "json", "warm")
QUICK = {("plain", stage) for stage in ("begun", "training")} | {(kind, "complete") for kind in KINDS}


def slow(*values: str) -> "ParameterSet":
    return pytest.param(*values, marks=pytest.mark.slow)


CASES = [(kind, stage) if (kind, stage) in QUICK else slow(kind, stage) for kind in KINDS for stage in STAGES]
JUDGE = ("judge", "run", "--judge", "fake:rule", "-B", "answers=A,B,SAME")
FLAGS = ("--prompt", "kind.txt", "--queries", "queries.jsonl", "--labels", "animal,fruit,other", "--backend", "fake")
ARMS = ("teacher", "base", "base_prompted", "student", "student_prompted")

EXPONENTIALS = "b0d881fd32077dc7"
"""A hash of `math.exp` where the runs were made. Other C libraries round the last digit otherwise, and weights with it."""
WEIGHTS = {"adapter_weights.json", "metrics.jsonl", "seals.jsonl"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder in which the test works, with what the runs were made from."""
    unpack_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments: object, code: int = 0) -> Result:
    """Return what `pdistill` says, in this process."""
    result = CliRunner().invoke(pdistill, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.stderr, result.exception)
    return result


def rows(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.splitlines()]


@cache
def rounds_alike() -> bool:
    values = repr([math.exp(-number / 97) for number in range(2000)])
    return sha256(values.encode()).hexdigest()[:16] == EXPONENTIALS


def timeless(report: bytes) -> dict[str, Any]:
    return {key: value for key, value in json.loads(report).items() if key != "seconds"}


def known(value: Any, earlier: Any) -> Any:
    """Return a value of a report without the keys that the earlier version did not write."""
    if isinstance(value, list) and isinstance(earlier, list):
        return [known(*pair) for pair in zip(value, earlier, strict=True)]
    if not isinstance(value, dict) or not isinstance(earlier, dict):
        return value
    return {key: known(value[key], earlier[key]) for key in value if key in earlier}


def compared(files: Files) -> dict[str, Any]:
    """Return by file what is compared: all bytes, but for wording, seconds, and weights where the machine rounds otherwise.

    A run that was killed in every stage has no timings at all.
    """
    found: dict[str, Any] = {}
    for name, content in files.items():
        if name in CLOCK:
            continue
        weights = Path(name).name in WEIGHTS or name.startswith("checkpoints/")
        if name == "report.json":
            found[name] = timeless(content)
        else:
            found[name] = None if name in SECONDS or (weights and not rounds_alike()) else content
    return found


def differing(run: Path, expected: Files) -> list[str]:
    """Return the files of a run that are not as expected, and those that are not in both."""
    here, there = compared(contents(run, without=set())), compared(expected)
    if "report.json" in here.keys() & there.keys():
        here["report.json"] = known(here["report.json"], there["report.json"])
    return [name for name in sorted(here.keys() | there.keys()) if here.get(name, "") != there.get(name, "")]


@pytest.mark.parametrize(("kind", "stage"), CASES)
def test_a_run_resumes_to_the_same_bytes(kind: str, stage: str) -> None:
    if kind == "warm":
        unpack("plain", "complete", Path("plain"))
    run = unpack(kind, stage, Path("run"))
    call("run", "--config", f"{kind}.toml")
    assert differing(run, stored(kind)["complete"]) == []
    if stage == "complete":
        assert contents(run, without=set()) == stored(kind)["complete"]


@pytest.mark.slow
def test_stage_by_stage() -> None:
    run = unpack("plain", "begun", Path("run"))
    call("generate", *FLAGS, "--run-dir", "run")
    for command in ("train", "evaluate", "report"):
        call(command, "run")
    assert differing(run, stored("plain")["complete"]) == []


def test_what_was_asked_differently_is_still_told() -> None:
    run = unpack("plain", "trained", Path("run"))
    said = call("run", *FLAGS, "--run-dir", "run", "--seed", 5, code=1).stderr
    assert "seed 0 (now 5)" in said
    assert contents(run, without=set()) == stored("plain")["trained"]


@pytest.mark.parametrize("kind", ["plain", "samples", "local", *(slow(kind) for kind in KINDS[2:])])
def test_the_report_is_made_again_with_the_same_values(kind: str) -> None:
    run = unpack(kind, "complete", Path("run"))
    for name in SECONDS:
        (run / name).unlink()
    call("report", "run")
    assert all((run / name).stat().st_size > 0 for name in SECONDS)
    before = json.loads(stored(kind)["complete"]["report.json"])
    assert known(json.loads((run / "report.json").read_bytes()), before) == before


@pytest.mark.parametrize("kind", ["plain", "local"])
def test_it_is_checked(kind: str) -> None:
    unpack(kind, "complete", Path("run"))
    call("check", "run", "--config", "plain.toml")
    call("check", "run", "--min-agreement", 0.99, code=1)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_asked_and_answers_as_it_was_evaluated(kind: str) -> None:
    run = unpack(kind, "complete", Path("run"))
    greedy = ("base", "student") if kind in ("samples", "constrain") else ARMS
    names = {
        row["number"]: f"{row['prompt']}: " for row in rows((run / "queries.jsonl").read_bytes()) if "prompt" in row
    }
    for arm in greedy:
        there = rows((run / f"predictions-{arm}.jsonl").read_bytes())
        queries = [names.get(row["number"], "") + row["query"] for row in there]
        said = call("sample", "run", "--arm", arm, "--json", *queries).stdout
        pairs = zip(rows(said.encode()), there, strict=True)
        alike = [one["response"] == row["response"] for one, row in pairs if row["finish"] == "stop"]
        assert len(alike) > 2
        assert all(alike)


@pytest.mark.parametrize("stage", ["judging", slow("complete"), slow("judged")])
def test_it_is_judged_to_the_same_bytes(stage: str) -> None:
    run = unpack("prompts", stage, Path("run"))
    call(*JUDGE)
    assert differing(run, stored("prompts")["judged"]) == []
    if stage == "judged":
        before = contents(run, without=set())
        call("run", "--config", "prompts.toml")
        assert contents(run, without=set()) == before


@pytest.mark.slow
def test_its_answers_are_reused_and_the_new_run_is_compared_with_it() -> None:
    unpack("plain", "complete", Path("run"))
    call("run", "--config", "plain.toml", "--run-dir", "new", "--from", "run", "--learning-rate", 1e-9)
    answers = rows(Path("new/responses.jsonl").read_bytes())
    assert all(row.pop("reused") for row in answers)
    assert answers == rows(stored("plain")["complete"]["responses.jsonl"])
    compared = json.loads(call("report", "run", "new", "--json").stdout)
    assert compared["held_out"] == {"a": 4, "b": 4, "shared": 4}


@pytest.mark.slow
def test_a_training_begins_with_its_student() -> None:
    unpack("plain", "complete", Path("plain"))
    call("run", "--config", "warm.toml")
    # The run is new: its versions are today's, its queries say on which side they are, and its preflight asks eight of them.
    new = {"run.json", "generate.json", "queries.jsonl", "seals.jsonl", "report.json"}
    preflight = {"preflight.json", "preflight-base.jsonl"}
    assert set(differing(Path("run"), stored("warm")["complete"])) <= new | preflight
