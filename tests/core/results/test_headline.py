"""The sentence at the top of a report counts what the rows hold, on the scale on which answers are compared."""

import json
from pathlib import Path
from typing import Any

import pytest

from pdistill.core.contract.queries import Query
from pdistill.core.numerics.estimates import Estimate
from pdistill.core.numerics.split import Split
from pdistill.core.results.headline import headline, rate
from pdistill.core.results.markdown import markdown
from pdistill.core.results.page import page
from pdistill.core.results.report import Report
from pdistill.core.results.reporting import report, report_from
from tests.run_builder import Outcome, build_run, outcomes

QUERIES, WRONG = 100, 6


def made(folder: Path, rows: list[Outcome], **options: Any) -> Report:
    return report_from(report(build_run(folder / "run", rows, **options)))


def booking(query: Query) -> Outcome:
    """Return an outcome whose student errs in one field of two on every sixth held-out query."""
    target = json.dumps({"name": f"n{query.number}", "day": "monday"})
    wrong = query.number % 5 == 0 and query.number // 5 < WRONG
    said = json.dumps({"day": "friday" if wrong else "monday", "name": f"n{query.number}"})
    split: Split = "train" if query.number % 5 else "eval"
    return Outcome(query, target, split, {"student": said, "base": "I don't know"})


def test_fields_that_are_equal_are_not_answers_that_agree(tmp_path: Path) -> None:
    rows = outcomes(map(str, range(QUERIES)), booking)
    shown = made(tmp_path, rows, labels=None, agreement="fields")
    assert headline(shown).startswith(
        "Without the prompt, 14 of the student's 20 held-out answers are equal to the teacher's; 85.0% of their fields "
        "are (before training: 0 answers)."
    )
    assert shown.fields is not None
    assert {name: (each.n, each.value) for name, each in shown.fields.by_name.items()} == {
        "name": (20, 1.0),
        "day": (20, 0.7),
    }
    assert [row.fields for row in shown.disagreements.rows] == [["day"]] * WRONG
    for text in (markdown(shown), page(shown, "")):
        assert "mean agreement with the teacher" in text.lower()
        assert "on 85.0% of the held-out" not in text


def test_a_rejected_answer_has_none_of_the_fields(tmp_path: Path) -> None:
    said = {95: "", 90: "I can't say"}

    def refused(query: Query) -> Outcome:
        row = booking(query)
        return Outcome(row.query, row.target, row.split, {"student": said.get(query.number, row.target or "")})

    shown = made(tmp_path, outcomes(map(str, range(QUERIES)), refused), labels=None, agreement="fields")
    assert shown.fields is not None
    assert (shown.fields.all.n, shown.fields.all.value) == (20, 0.9)


def test_grades_without_fields_are_called_a_mean(tmp_path: Path) -> None:
    def close(query: Query) -> Outcome:
        return Outcome(query, "abcd", "train" if query.number % 5 else "eval", {"student": "abcx"})

    shown = made(tmp_path, outcomes(map(str, range(QUERIES)), close), labels=None, agreement="characters")
    assert "0 of the student's 20 held-out answers agree in full with the teacher's; the mean agreement is 0.750" in (
        headline(shown)
    )


def test_the_base_is_shown_at_its_best(tmp_path: Path) -> None:
    def formal(query: Query) -> Outcome:
        return Outcome(query, "fruit", "train" if query.number % 5 else "eval", {"base": " Fruit.\n"})

    shown = made(tmp_path, outcomes(map(str, range(QUERIES)), formal))
    assert "(before training: 100.0%, ignoring case, and whitespace and punctuation at the ends)" in headline(shown)
    base = shown.arms["base"]
    assert (base.agreement.value, base.ignoring_form and base.ignoring_form.value) == (0.0, 1.0)
    assert "Ignoring case, and whitespace and punctuation at the ends, the base agrees on 1.000" in markdown(shown)


def test_few_held_out_queries_are_counted_and_said_first(tmp_path: Path) -> None:
    shown = made(tmp_path, outcomes(map(str, range(30))))
    assert headline(shown).startswith("Only 6 queries are held out, too few to conclude anything from.")
    assert "agrees with the teacher on 6 of 6 held-out queries (before training: 0 of 6)" in headline(shown)
    assert "%" not in headline(shown)


@pytest.mark.parametrize(
    ("estimate", "shown"),
    [
        (None, "–"),
        (Estimate(0, None, None, None), "–"),
        (Estimate(6, 0.833333, 0.4, 0.97), "5 of 6"),
        (Estimate(6, 0.85, 0.4, 0.97), "85.0%"),
        (Estimate(20, 0.95, 0.8, 0.99), "95.0%"),
    ],
)
def test_a_rate_is_a_percentage_only_of_enough_queries(estimate: Estimate | None, shown: str) -> None:
    assert rate(estimate) == shown
