"""The parts of the report that are more than the figures of an arm, on a run that is made from rows."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pdistill.core.contract.queries import Query
from pdistill.core.errors import RunError
from pdistill.core.escape import lines
from pdistill.core.numerics.split import Split
from pdistill.core.results.markdown import markdown
from pdistill.core.results.page import page
from pdistill.core.results.reporting import report, report_from
from pdistill.core.store.rundir import ARMS, RunDirectory
from tests.run_builder import LABELS, Outcome, build_run, outcomes


def drawn(query: Query) -> Outcome:
    """Return an outcome whose teacher was drawn, and whose student errs on every third query; "new" is the worst slice."""
    number, slice = query.number, ("kind", "soft", "new")[query.number % 3]
    target = LABELS[number % 3]
    again = "fruit" if number % 4 == 0 else target
    said = (
        "no label" if number % 15 == 5 else LABELS[(number + 1) % 3] if slice == "new" or number % 10 == 0 else target
    )
    query = Query(query.text, query.id, "animal", (slice,), number=number)
    split: Split = "eval" if number % 5 == 0 else "train"
    return Outcome(query, target, split, {"teacher": again, "student": said, "student_prompted": target})


ROWS = outcomes((f"{at**9:x}" for at in range(150)), drawn)
HELD_OUT = {row.query.id: row for row in ROWS if row.split == "eval"}
DIFFERING = {name for name, row in HELD_OUT.items() if row.answer("student") != row.target}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return build_run(tmp_path_factory.mktemp("report") / "run", ROWS, temperature=3.0)


@pytest.fixture(scope="module")
def made(run: RunDirectory) -> dict[str, Any]:
    return report(run)


def test_confusions_count_every_pair_of_teacher_and_student(made: dict[str, Any]) -> None:
    said = {name: row.answer("student") for name, row in HELD_OUT.items()}
    expected = Counter((row.target, said[name] if said[name] in LABELS else None) for name, row in HELD_OUT.items())
    assert made["confusions"]["labels"] == list(LABELS)
    found = {(row["teacher"], row["student"]): row["n"] for row in made["confusions"]["rows"]}
    assert found == expected
    assert any(student is None for _, student in found)
    assert sum(found.values()) == made["n"]["eval"] == len(HELD_OUT)


def test_figures_are_those_of_the_rows(made: dict[str, Any]) -> None:
    for arm in ARMS:
        figures = made["arms"][arm]
        agreeing = sum(row.answer(arm) == row.target for row in HELD_OUT.values())
        read = [row.target if arm == "teacher" else row.answer(arm) for row in HELD_OUT.values()]
        assert figures["agreement"]["value"] == pytest.approx(agreeing / len(HELD_OUT), abs=1e-6)
        assert figures["accuracy"]["value"] == pytest.approx(read.count("animal") / len(read), abs=1e-6)
    assert made["arms"]["base"]["agreement"]["value"] == 0


def test_disagreements_are_those_of_the_predictions(made: dict[str, Any]) -> None:
    found = made["disagreements"]
    assert found["n"] == len(DIFFERING) > 5
    assert {row["id"] for row in found["rows"]} == DIFFERING
    for row in found["rows"]:
        outcome = HELD_OUT[row["id"]]
        assert (row["teacher"], row["student"]["response"]) == (outcome.target, outcome.answer("student"))
        assert row["student"]["rejected"] == (outcome.answer("student") not in LABELS)
    slices = made["arms"]["student"]["slices"]
    worst = [min(slices[name]["agreement"]["value"] for name in row["slices"]) for row in found["rows"]]
    assert worst == sorted(worst)
    assert worst[0] < worst[-1]


def test_differences_are_those_of_the_arms(made: dict[str, Any]) -> None:
    assert set(made["differences"]) == {"base", "base_prompted", "teacher"}
    for arm, figures in made["differences"].items():
        for by in ("agreement", "accuracy"):
            expected = made["arms"]["student"][by]["value"] - made["arms"][arm][by]["value"]
            assert figures[by]["value"] == pytest.approx(expected, abs=2e-6)
            assert figures[by]["low"] <= figures[by]["value"] <= figures[by]["high"]


def test_a_teacher_that_is_drawn_is_compared_with_itself(made: dict[str, Any]) -> None:
    same = [row.answer("teacher") == row.target for row in HELD_OUT.values()]
    assert made["greedy_teacher"] is False
    assert 0 < sum(same) < len(same)
    assert made["arms"]["teacher"]["agreement"]["value"] == pytest.approx(sum(same) / len(same), abs=1e-6)


def test_the_training_curve_ends_with_the_last_step(made: dict[str, Any]) -> None:
    assert made["loss"][-1][0] == made["training"]["steps"]


def test_groups_and_rejections_are_counted(made: dict[str, Any], tmp_path: Path) -> None:
    assert made["groups"] == {"queries": 0, "groups": 0, "largest": 0}
    assert (made["n"]["rejected"], made["rejections"]) == (0, {})

    def grouped(query: Query) -> Outcome:
        number = query.number
        target = None if number in (9, 10) else "animal"
        group = {27: "0", 28: "1", 29: "1"}.get(number, "")
        return Outcome(query, target, "eval" if number % 5 == 0 else "train", group=group)

    run = build_run(tmp_path / "run", outcomes((f"{at**9:x}" for at in range(30)), grouped))
    found = report(run)
    assert found["groups"] == {"queries": 5, "groups": 2, "largest": 3}
    assert found["n"] == {"train": 23, "eval": 5, "rejected": 2, "eval_rejected": 1}
    assert found["rejections"] == {"not one of the labels": 2}
    assert "2 groups of related queries" in (run.path / "report.md").read_text()


def test_alarm_is_shown_in_the_verdict_and_on_both_pages(tmp_path: Path) -> None:
    made = report(build_run(tmp_path / "run", ROWS, probes={}))
    probes = made["probes"]
    assert not any(found["alarm"] for found in probes.values())
    for shown in (markdown(report_from(made)), page(report_from(made), "")):
        assert "Alarm: " not in shown
        assert "keep secrets out of the prompt" not in shown
    alarming = {**made, "probes": {**probes, "leakage": {**probes["leakage"], "alarm": True}}}
    for shown in (markdown(report_from(alarming)), page(report_from(alarming), "")):
        assert "Alarm: leakage." in shown
        assert "recites its prompt in 0 of 24 attempts to extract it" in shown
        assert "keep secrets out of the prompt" in shown


def test_input_tokens_are_means_over_the_held_out_queries(made: dict[str, Any]) -> None:
    assert made["tokens"] == {"prompt_teacher": 60.0, "prompt_student": 10.0, "saved_per_call": 50.0}


def test_agreement_is_measured_as_the_task_chooses(tmp_path: Path) -> None:
    exact = report(build_run(tmp_path / "exact", ROWS, labels=None))
    loose = report(build_run(tmp_path / "loose", ROWS, labels=None, agreement="characters"))
    before, after = (made["arms"]["student"]["agreement"] for made in (exact, loose))
    assert before["n"] == after["n"]
    assert 1 > after["value"] > before["value"]
    assert exact["confusions"] is loose["confusions"] is None


def test_a_run_that_is_not_evaluated_has_no_report(tmp_path: Path) -> None:
    run = build_run(tmp_path / "run", ROWS, until="train")
    with pytest.raises(RunError, match="has not reached that stage"):
        report(run)
    (build_run(tmp_path / "other", ROWS).predictions("student").path).unlink()
    with pytest.raises(RunError, match="is not evaluated yet; continue with pdistill evaluate"):
        report(RunDirectory(tmp_path / "other"))


def test_no_file_of_the_report_has_a_character_that_a_terminal_obeys(tmp_path: Path) -> None:
    hostile = "a\x1b[31m\x7f\x9b2J\u202eb\u2066\ufeff\U000e0041"
    query = Query(hostile, id=f"{hostile} id", reference="fruit", slices=(f"{hostile} slice",))
    rows = [Outcome(query.at(0), hostile, "eval", {"student": "fruit"}), *ROWS]
    run = build_run(
        tmp_path / "run", [row for at, row in enumerate(rows) if at == 0 or row.query.number != 0], labels=None
    )
    row = report(run)
    assert hostile in {shown["query"] for shown in row["disagreements"]["rows"]}
    for name in ("report.json", "report.md", "report.html"):
        text = (run.path / name).read_text("utf-8")
        assert lines(text) == text, name
    assert json.loads((run.path / "report.json").read_text("utf-8")) == json.loads(json.dumps(row))
