"""The pre-flight before the teacher pass: what it refuses, what it lets through, and that nothing is asked twice."""

import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from pdistill.core import pipeline
from pdistill.core.errors import BackendError, TaskError
from pdistill.core.setup.config import Config
from pdistill.core.store.rows import read_rows, write_rows
from pdistill.core.store.rundir import RunDirectory
from pdistill.core.store.settings import TrainSettings
from tests.run_builder import add_student
from tests.runs import Said, contents, fake_config

HELD_OUT = 12  # of 60 queries
PROBED = 24  # questions of a probe that the teacher is asked
Reference = Callable[[str], str | None]


def job(folder: Path, count: int, reference: Reference = lambda text: None, **changes: Any) -> Config:
    """Return a job of `count` queries that are unlike each other; a fifth of them is held out."""
    config = fake_config(folder, folder / "run", **changes)
    assert config.queries is not None
    texts = [sha256(str(at).encode()).hexdigest() for at in range(count)]
    rows = [{"query": text, "reference": reference(text)} for text in texts]
    config.queries.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return config


def looked(config: Config) -> dict[str, Any]:
    found = json.loads((config.directory / "preflight.json").read_text())
    assert isinstance(found, dict)
    return found


def test_a_prompt_that_changes_nothing_is_refused_before_the_pass(tmp_path: Path) -> None:
    config = job(tmp_path, 60, labels=None, teacher="echo")
    message = "nothing to distill: on the 12 queries of the sample, the base agrees with the teacher on 100.0% without"
    with pytest.raises(TaskError, match=message):
        pipeline.run(config)
    assert looked(config)["figures"]["base_agreement"]["value"] == 1
    assert len(list(read_rows(config.directory / "responses.jsonl.part"))) == HELD_OUT
    before = contents(config.directory)
    with pytest.raises(TaskError, match="nothing to distill"):
        pipeline.run(replace(config, backend_options={"fail_at": "1"}))  # says so again, and asks nothing
    assert contents(config.directory) == before
    said = Said()
    pipeline.generate(config, said)
    assert "preflight: there seems to be nothing to distill" in said.lines[0]
    with pytest.raises(TaskError, match="nothing to distill"):
        pipeline.run(config)


def test_a_prompt_that_changes_much_and_helps_nothing_is_refused(tmp_path: Path) -> None:
    config = job(tmp_path, 150, reference=lambda text: text, labels=None)  # the base says the query again
    with pytest.raises(
        TaskError, match=r"the prompt does not help: the teacher is right on 0.0% with it, and the base"
    ):
        pipeline.run(config)


def test_answers_that_can_not_be_used_are_refused_with_their_reasons(tmp_path: Path) -> None:
    config = job(tmp_path, 60, labels=("yes", "no"))
    with pytest.raises(TaskError, match=r"12 of 12 answers of the teacher can't be used \(12 not one of the labels\)"):
        pipeline.run(config)


def test_truncated_answers_and_an_inconsistent_teacher_are_reported(tmp_path: Path) -> None:
    said = Said()
    config = job(tmp_path, 60, temperature=3.0, backend_options={"cut_every": "5"})
    pipeline.generate(config, said)
    told = "\n".join(said.lines)
    figures = looked(config)["figures"]
    assert 0.05 < figures["cut_off"]["value"] < 0.5
    assert f"{figures['cut_off']['value']:.1%} of the teacher's answers are cut off" in told
    assert f"the teacher agrees with itself on {figures['self_agreement']['value']:.1%}" in told


def test_teacher_with_a_constant_answer_is_reported(tmp_path: Path, fake_backend: Callable[..., object]) -> None:
    fake_backend(teacher=lambda prompt, query: "animal", name="stuck")
    said = Said()
    pipeline.generate(job(tmp_path, 60, backend="stuck"), said)
    assert "the teacher always answers 'animal', whatever the query" in "\n".join(said.lines)


def test_valid_job_passes(tmp_path: Path) -> None:
    said = Said()
    config = job(tmp_path, 200, reference=lambda text: "animal")
    pipeline.generate(config, said)
    found = looked(config)
    assert (found["problems"], found["warnings"], said.lines) == ([], [], [])
    assert found["figures"]["help"]["value"] > 0


@pytest.mark.parametrize("options", [{}, {"chunk": "25"}, {"shuffle": "true"}])
def test_no_query_is_asked_twice(tmp_path: Path, options: dict[str, str]) -> None:
    config = job(tmp_path, 60, backend_options={**options, "fail_at": "0"})
    calls = 60 + HELD_OUT + PROBED
    with pytest.raises(BackendError, match=f"failed at call {calls}"):
        pipeline.generate(replace(config, backend_options={**options, "fail_at": str(calls)}))
    whole = replace(config, run_dir=tmp_path / "whole", backend_options={**options, "fail_at": str(calls + 1)})
    pipeline.generate(whole)
    pipeline.generate(config)
    assert contents(config.directory)["responses.jsonl"] == contents(whole.directory)["responses.jsonl"]


def trained(config: Config) -> RunDirectory:
    """Return the run with its teacher's answers, and a student that answers as its base does."""
    run = pipeline.generate(config)
    add_student(run, config, sum(1 for row in read_rows(run.examples) if row["split"] == "train"))
    return run


@pytest.mark.parametrize(
    ("arm", "options"),
    [("base", {}), ("teacher", {"temperature": 2.0}), ("base", {"backend_options": {"chunk": "25"}})],
)
def test_the_arms_take_what_was_answered_before(tmp_path: Path, arm: str, options: dict[str, Any]) -> None:
    run = trained(job(tmp_path, 60, **options))
    before = run.path / f"preflight-{arm}.jsonl"
    marked = [{**row, "response": "animal", "tokens": 99} for row in read_rows(before)]
    write_rows(before, marked, run.seal)
    pipeline.evaluate(run)
    assert list(read_rows(run.predictions(arm).path)) == [{**row, "reused": True} for row in marked]


def test_different_base_is_asked_again(tmp_path: Path) -> None:
    config = job(tmp_path, 60)
    run = trained(config)
    run.write_settings(replace(run.settings(TrainSettings), student="fake:echo"))
    before = run.path / "preflight-base.jsonl"
    write_rows(before, [{**row, "tokens": 99} for row in read_rows(before)], run.seal)
    pipeline.evaluate(run)
    assert all(row["tokens"] != 99 for row in read_rows(run.predictions("base").path))
