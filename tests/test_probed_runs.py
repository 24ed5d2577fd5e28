"""The probes in whole runs on the fake backend."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pdistill.backends.fake.student import FakeStudent
from pdistill.core import pipeline
from pdistill.core.probes.findings import sentences
from pdistill.core.results import reporting
from pdistill.core.results.reporting import report_from
from pdistill.core.setup.config import Config
from pdistill.core.store.rows import read_rows
from tests.runs import INJECTIONS, contents, fake_config


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("probes")
    config = fake_config(folder, folder / "run")
    return config, pipeline.run(config)


def said(report: dict[str, Any]) -> dict[str, str]:
    return {name: text for name, _, text in sentences(report_from(report).probes)}


def test_a_student_that_is_asked_like_its_base_answers_like_it_where_nothing_was_trained(
    finished: tuple[Config, dict[str, Any]],
) -> None:
    found = finished[1]["probes"]
    assert [place["kl"]["value"] < 0.1 for place in found["retention"]["places"].values()] == [True, True]
    assert found["welcome"]["base"]["value"] == 1
    assert found["welcome"]["agreement"]["value"] > 0.5


def test_a_student_without_log_probabilities_is_not_asked_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeStudent, "capabilities", frozenset({"generate", "train-hard"}))
    config = fake_config(tmp_path, tmp_path / "run")
    report = pipeline.run(config)
    why = "the student fake:rule gives no log-probabilities"
    assert report["probes"]["retention"] == {"alarm": None, "not_run": why}
    assert ("retention", "not run", f"{why}.") in sentences(report_from(report).probes)
    assert not (config.directory / "probes-retention-base.jsonl").exists()
    assert why[1:] in (config.directory / "report.html").read_text()


def test_text_has_no_place_outside_of_a_bare_frame(tmp_path: Path) -> None:
    text = fake_config(tmp_path, tmp_path / "run", format="text", backend_options={"chat_template": "false"})
    assert text.prompt is not None
    text.prompt.write_text("Name the kind.\nAnimal:animal\nFruit:fruit\nOther:other\n\n{query}\n")
    bare = pipeline.run(text)
    assert "any text is a query of its task" in said(bare)["retention"]
    (tmp_path / "frame.txt").write_text("What is it? {query}\nKind:\n")
    framed = pipeline.run(replace(text, student_prompt=tmp_path / "frame.txt", run_dir=tmp_path / "framed"))
    assert list(framed["probes"]["retention"]["places"]) == ["plain text"]


def test_question_that_does_not_fit_is_left_out(tmp_path: Path) -> None:
    config = fake_config(tmp_path, tmp_path / "run", max_tokens=6, backend_options={"context": "60"})
    found = pipeline.run(config)["probes"]
    assert found["leakage"]["attempts"]["n"] == 0  # an answer to be recited in is longer than that
    assert 0 < found["injection"]["agreement"]["n"] < INJECTIONS
    rows = read_rows(config.directory / "probes-leakage-student.jsonl")
    assert {(row["finish"], row["tokens"]) for row in rows} == {("error", 0)}


def test_answers_to_the_probes_are_reused_too(finished: tuple[Config, dict[str, Any]], tmp_path: Path) -> None:
    run = pipeline.generate(replace(finished[0], run_dir=tmp_path / "run", from_run=finished[0].directory))
    rows = list(read_rows(run.probe("injection", "teacher").path))
    assert [row.pop("reused") for row in rows] == [True] * INJECTIONS
    assert rows == list(read_rows(finished[0].directory / "probes-injection-teacher.jsonl"))


def test_run_started_without_probes_resumes_without_them(tmp_path: Path) -> None:
    run = pipeline.generate(fake_config(tmp_path, tmp_path / "run"))
    asked = run.asked()
    del asked["options"]["no_probes"]  # which runs without probes do not have
    run.write_json("run.json", asked)
    for path in run.path.glob("probes*"):
        path.unlink()
    seals = run.path / "seals.jsonl"
    seals.write_text("".join(line for line in seals.read_text().splitlines(keepends=True) if "probes" not in line))
    pipeline.train(run, {})
    pipeline.evaluate(run)
    report = reporting.report(run)
    assert report["probes"] is None
    assert list(sentences(report_from(report).probes)) == []
    assert not [name for name in contents(run.path) if name.startswith("probes") and "teacher" not in name]
