"""Complete runs on the fake backend in which answers must match a pattern, conform to a JSON schema, or follow a reasoning."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pdistill.core import pipeline
from pdistill.core.errors import BackendError, RunError, TaskError, UsageError
from pdistill.core.results import reporting
from pdistill.core.setup.config import Config
from pdistill.core.store.rows import read_rows
from pdistill.core.store.rundir import RunDirectory
from tests.runs import contents, fake_config, write_task

SCHEMA = {"type": "object", "properties": {"kind": {"enum": ["animal", "fruit"]}}, "required": ["kind", "length"]}


def teacher(prompt: str, query: str) -> str:
    """Answer by the query's first letter; every dog is a sentence."""
    kind = "fruit" if query.startswith("a") else "animal"
    return "It is a dog." if query.startswith("d") else json.dumps({"kind": kind, "length": len(query.split())})


@pytest.fixture
def config(tmp_path: Path, fake_backend: Callable[..., object]) -> Config:
    fake_backend(teacher=teacher, name="zoo")
    prompt, queries = write_task(tmp_path)
    rows = [json.loads(line) for line in queries.read_text().splitlines()]
    for row in rows:
        row["reference"] = '{"length":5,"kind":"animal"}'
    queries.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    return Config(
        prompt=prompt, queries=queries, json_schema=tmp_path / "schema.json", backend="zoo", run_dir=tmp_path / "run"
    )


def rejected(run: RunDirectory) -> set[str | None]:
    return {row["rejected"] for row in read_rows(run.examples)}


def test_json_is_kept_in_the_teachers_words_and_compared_field_by_field(config: Config) -> None:
    report = pipeline.run(config)
    targets = [row["target"] for row in read_rows(config.directory / "examples.jsonl") if row["target"]]
    assert set(map(str, targets)) <= {teacher("", query) for query in _queries(config)}
    assert report["rejections"] == {"not JSON": 5}
    teachers = report["arms"]["teacher"]
    assert 0 < teachers["accuracy"]["value"] < 1  # the right kind with the wrong length scores one half
    assert report["arms"]["student"]["agreement"]["value"] > report["arms"]["base"]["agreement"]["value"] == 0
    assert report["confusions"] is None


def test_run_resumes_without_the_schema_file(config: Config) -> None:
    pipeline.generate(config)
    assert config.json_schema is not None
    config.json_schema.unlink()
    run = RunDirectory(config.directory)
    pipeline.train(run, {})
    pipeline.evaluate(run)
    reporting.report(run)
    before = contents(run.path)
    reporting.report(run)
    assert contents(run.path) == before


def test_another_schema_is_another_run_that_takes_the_answers(config: Config, tmp_path: Path) -> None:
    pipeline.generate(config)
    (tmp_path / "schema.json").write_text(json.dumps({**SCHEMA, "required": ["kind", "weight"]}))
    with pytest.raises(
        RunError, match="was made with other options: another JSON schema; take another --run-dir, with --from"
    ):
        pipeline.generate(config)
    other = pipeline.generate(replace(config, run_dir=tmp_path / "other", from_run=config.directory))
    assert rejected(other) == {"not JSON", "breaks the schema at required"}
    assert all(row["reused"] for row in read_rows(other.responses(1).path))


def test_a_pattern(config: Config, tmp_path: Path) -> None:
    run = pipeline.generate(replace(config, json_schema=None, pattern=r"\{.*\}", run_dir=tmp_path / "pattern"))
    assert rejected(run) == {None, "does not match the pattern"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pattern": "x"}, "--pattern and --json-schema are mutually exclusive"),
        ({"labels": ("a",)}, "--labels and --json-schema are mutually exclusive"),
        ({"json_schema": None, "pattern": "("}, "is not a valid regular expression"),
        ({"json_schema": Path("nowhere.json")}, "can't read 'nowhere.json'"),
        (
            {"task": "langid", "prompt": None, "queries": None},
            "--json-schema can only be used with --prompt and --queries",
        ),
    ],
)
def test_invalid_combinations(config: Config, changes: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        pipeline.generate(replace(config, **changes))  # type: ignore[arg-type]
    assert not config.directory.exists()


def test_unsatisfiable_schema_is_refused_before_training(config: Config) -> None:
    assert config.json_schema is not None
    config.json_schema.write_text('{"type": "string", "enum": [1]}')
    with pytest.raises(TaskError, match=r"can't be used \(\d+ breaks the schema at (type|enum)"):
        pipeline.run(config)


def test_runs_without_either_load_neither_library() -> None:
    code = "import sys, pdistill.core.pipeline; print({'regex', 'jsonschema'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def _queries(config: Config) -> list[str]:
    return [row["query"] for row in read_rows(config.directory / "queries.jsonl")]


@pytest.fixture
def babbling(config: Config, tmp_path: Path, fake_backend: Callable[..., object]) -> Config:
    """A teacher whose unconstrained answers are unusable."""
    write_task(tmp_path)
    fake_backend(teacher=lambda prompt, query: "fruit" if query.startswith("a") else "It is an animal.", name="babbler")
    labels = ("animal", "fruit")
    return replace(config, json_schema=None, labels=labels, backend="babbler", run_dir=tmp_path / "free", force=True)


def test_only_the_teachers_pass_is_constrained(babbling: Config, tmp_path: Path) -> None:
    free = pipeline.generate(babbling)
    assert rejected(free) == {None, "not one of the labels"}
    kept = replace(babbling, constrain=True, run_dir=tmp_path / "kept")
    report = pipeline.run(kept)
    assert report["rejections"] == {}
    assert {row["response"] for row in read_rows(kept.directory / "responses.jsonl")} == {"animal", "fruit"}
    said = {row["response"] for row in read_rows(kept.directory / "predictions-teacher.jsonl")}
    assert "It is an animal." in said
    assert report["arms"]["teacher"]["agreement"]["value"] < 1
    assert (report["greedy_teacher"], report["same_model"]) == (False, False)


def test_constrained_answers_are_reused_by_constrained_runs_alone(babbling: Config, tmp_path: Path) -> None:
    kept = replace(babbling, constrain=True)
    pipeline.generate(kept)
    again = pipeline.generate(replace(kept, run_dir=tmp_path / "again", from_run=kept.directory))
    assert all(row["reused"] for row in read_rows(again.responses(1).path))
    others: list[dict[str, Any]] = [{"constrain": False}, {"labels": ("fruit", "animal", "thing")}]
    for number, changes in enumerate(others):
        with pytest.raises(RunError, match="can't be reused: they were made with other options: constrain"):
            pipeline.generate(replace(kept, run_dir=tmp_path / f"other-{number}", from_run=kept.directory, **changes))
    with pytest.raises(RunError, match=r"was made with other options: constrain true \(now false\)"):
        pipeline.generate(replace(kept, constrain=False))


def test_unsupported_constraints(babbling: Config, config: Config, tmp_path: Path) -> None:
    nothing = replace(babbling, labels=None, constrain=True)
    with pytest.raises(
        UsageError, match="--constrain needs to know which answers are valid; give --labels, --pattern or"
    ):
        pipeline.generate(nothing)
    with pytest.raises(
        BackendError, match="zoo:scripted can't constrain its decoding to a JSON schema; leave --constrain out"
    ):
        pipeline.generate(replace(config, constrain=True))
    assert not config.directory.exists()


@pytest.mark.parametrize("keep", [False, True])
def test_a_run_with_reasoning(tmp_path: Path, keep: bool) -> None:
    config = fake_config(
        tmp_path, tmp_path / "run", answer_after="so", keep_reasoning=keep, labels=("animal", "other"), force=True
    )
    assert config.prompt is not None
    config.prompt.write_text("Name the kind.\n")
    said = {"answers": "it moves so animal,it lies so other"}
    report: dict[str, Any] = pipeline.run(replace(config, backend_options=said))
    targets = {row["target"] for row in read_rows(tmp_path / "run" / "examples.jsonl")}
    assert targets == ({"it moves so animal", "it lies so other"} if keep else {"animal", "other"})
    pairs = {(row["teacher"], row["student"]) for row in report["confusions"]["rows"]}
    assert {teacher for teacher, _ in pairs} <= {"animal", "other"}
    assert report["arms"]["student"]["agreement"]["value"] > report["arms"]["base"]["agreement"]["value"]
