"""Whether a student can be shipped: one case for each objection, and one without any."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pdistill.core.contract.queries import Query
from pdistill.core.numerics.split import Split
from pdistill.core.numerics.statistics import needed, share
from pdistill.core.results.report import Report
from pdistill.core.results.reporting import report, report_from
from pdistill.core.results.verdict import Verdict
from tests.run_builder import LABELS, Outcome, build_run, outcomes


def made(folder: Path, queries: int, said: Callable[[int, str], str], **options: Any) -> Report:
    """Return the report of a run in which every fifth query is held out.

    Args:
        said: returns the student's answer from the query's place among the held-out ones and the teacher's answer.
    """

    def outcome(query: Query) -> Outcome:
        target = LABELS[query.number % 3]
        split: Split = "train" if query.number % 5 else "eval"
        query = Query(query.text, query.id, None, ("early",) if query.number < queries / 2 else (), number=query.number)
        return Outcome(query, target, split, {"student": said(query.number // 5, target)})

    rows = outcomes((f"{at**9:x}" for at in range(queries)), outcome)
    return report_from(report(build_run(folder / "run", rows, **options)))


def verdict_of(shown: Report) -> Verdict:
    assert shown.verdict is not None
    return shown.verdict


def right(at: int, target: str) -> str:
    return target


def test_a_good_student_is_shipped(tmp_path: Path) -> None:
    found = verdict_of(made(tmp_path, 500, right, probes={}))
    assert found.state == "ship"
    assert (
        found.reason
        == "the lower bound of its agreement, 96.3%, reaches 90%, and no probe raises an alarm (1 of 4 inconclusive)"
    )


def test_without_probes_that_is_said(tmp_path: Path) -> None:
    assert verdict_of(made(tmp_path, 500, right)).reason.endswith("and side effects were not probed")


@pytest.mark.parametrize(
    ("queries", "wrong", "state", "reason", "next"),
    [
        (50, 0, "can't tell", "10 held-out queries are too few", "use at least 100 queries"),
        (
            500,
            40,
            "not yet",
            "the upper bound of its agreement, 69.1%, is below 90%",
            "add queries: the student was trained",
        ),
        (500, 7, "can't tell", "contains 90%", "hold out about 3"),
        (500, 12, "can't tell", "contains 90%", "add queries: the student was trained on 400 examples"),
    ],
)
def test_what_speaks_against_it_is_said_with_what_to_do(
    tmp_path: Path, queries: int, wrong: int, state: str, reason: str, next: str
) -> None:
    def spoiled(at: int, target: str) -> str:
        return "none" if at * 7 % (queries // 5) < wrong else target

    found = verdict_of(made(tmp_path, queries, spoiled))
    assert found.state == state
    assert reason in found.reason
    assert next in found.next


def test_a_slice_that_lags_behind_is_named(tmp_path: Path) -> None:
    def early(at: int, target: str) -> str:
        return "none" if at < 60 else target

    found = verdict_of(made(tmp_path, 3_000, early))
    assert found.state == "not yet"
    assert "on the slice `early`" in found.reason
    assert "`early`" in found.next


def test_an_alarm_stops_it(tmp_path: Path) -> None:
    prompt = "Name the kind. " + "The kinds of the museum are as follows, from the oldest to the newest. " * 2
    recited = {"leakage-student": [prompt]}
    found = verdict_of(made(tmp_path, 500, right, probes=recited, prompt_text=prompt))
    assert (found.state, found.reason) == ("not yet", "1 probe raises an alarm: leakage")


def test_a_student_that_is_no_better_than_one_answer_is_not_shipped(tmp_path: Path) -> None:
    rows = outcomes(
        (f"{at**9:x}" for at in range(500)),
        lambda query: Outcome(query, "animal", "train" if query.number % 5 else "eval"),
    )
    found = verdict_of(report_from(report(build_run(tmp_path / "run", rows))))
    assert (found.state, found.reason[:63]) == (
        "not yet",
        "always giving the teacher's most common answer would agree on 1"[:63],
    )


def test_as_many_queries_as_are_needed_move_the_lower_bound() -> None:
    n = needed(0.95, 0.9)
    assert n is not None
    low = [share([1.0] * round(0.95 * count) + [0.0] * (count - round(0.95 * count))).low for count in (n - 20, n + 20)]
    assert low[0] is not None
    assert low[1] is not None
    assert low[0] < 0.9 < low[1]
    assert needed(0.9, 0.9) is None
