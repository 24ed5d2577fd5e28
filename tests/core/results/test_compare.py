"""Two runs of one task, side by side."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from pdistill.core.contract.queries import Query
from pdistill.core.errors import RunError, UsageError
from pdistill.core.results.compare import compare
from pdistill.core.store.rundir import RunDirectory
from tests.run_builder import LABELS, Outcome, build_run, outcomes

TEXTS = [f"{at**9:x}" for at in range(150)]
SLICES = ("kind", "soft")

Make = Callable[[Query], Outcome]


def answering(target: Callable[[int], int], student: Callable[[int], int]) -> Make:
    """Return what makes the outcome of a query: the numbers of the teacher's and the student's labels, by its number.

    Every third text is held out, wherever it is among the queries.
    """

    def make(query: Query) -> Outcome:
        at = TEXTS.index(query.text)
        query = Query(query.text, query.id, "animal", (SLICES[at % 2],), number=query.number)
        arms = {"student": LABELS[student(at) % 3]}
        return Outcome(query, LABELS[target(at) % 3], "eval" if at % 3 == 0 else "train", arms)

    return make


POOR = answering(lambda at: at // 7, lambda at: at // 7 + at % 2)
BETTER = answering(lambda at: at // 7 + (at % 11 == 0), lambda at: at // 7 + (at % 4 == 1))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunDirectory, RunDirectory]:
    """Return a run whose student is poor, and one with another teacher, a better student and fewer queries."""
    folder = tmp_path_factory.mktemp("compare")
    first = build_run(folder / "a", outcomes(TEXTS, POOR), temperature=3.0)
    second = build_run(folder / "b", outcomes(TEXTS[:120], BETTER), temperature=1.0, rank=16, limit=120)
    return first, second


@pytest.fixture(scope="module")
def compared(runs: tuple[RunDirectory, RunDirectory]) -> dict[str, Any]:
    return asdict(compare(*runs))


def held_out(make: Make, count: int) -> dict[str, Outcome]:
    return {row.query.text: row for row in outcomes(TEXTS[:count], make) if row.split == "eval"}


A, B = held_out(POOR, 150), held_out(BETTER, 120)


def test_only_what_both_held_out_is_compared(compared: dict[str, Any]) -> None:
    assert compared["held_out"] == {"a": len(A), "b": len(B), "shared": len(B)}
    assert len(B) < len(A)
    for side, rows in (("a", A), ("b", B)):
        right = [rows[text].answer("student") == rows[text].target for text in B]
        figure = compared["arms"]["student"]["agreement"][side]
        assert (figure["n"], figure["value"]) == (len(B), pytest.approx(sum(right) / len(right), abs=1e-6))
    assert compared["targets_differ"] == sum(A[text].target != B[text].target for text in B) > 0


def test_differences_are_second_minus_first(compared: dict[str, Any]) -> None:
    for figures in compared["arms"].values():
        for by in ("agreement", "accuracy"):
            gain = figures[by]["difference"]
            assert gain["value"] == pytest.approx(figures[by]["b"]["value"] - figures[by]["a"]["value"], abs=2e-6)
            assert gain["low"] <= gain["value"] <= gain["high"]
    assert compared["arms"]["student"]["agreement"]["difference"]["value"] > 0


def test_changed_answers_are_those_of_the_predictions(compared: dict[str, Any]) -> None:
    differing = {B[text].query.id for text in B if A[text].answer("student") != B[text].answer("student")}
    assert differing
    assert {row["id"] for row in compared["changed"]["rows"]} == differing
    assert sum(found["changed"] for found in compared["slices"].values()) == compared["changed"]["n"] == len(differing)
    gains = [row["b"]["agreement"] - row["a"]["agreement"] for row in compared["changed"]["rows"]]
    assert gains == sorted(gains)
    assert gains[0] < gains[-1]


def test_what_differs_in_the_options_is_named(compared: dict[str, Any]) -> None:
    options = {row["name"]: (row["a"], row["b"]) for row in compared["options"]}
    assert options["temperature"] == (3.0, 1.0)
    assert options["rank"] == (32, 16)
    assert options["limit"] == (None, 120)
    assert options["queries"] == (150, 120)
    assert "seed" not in options


def test_queries_are_known_by_their_text_and_not_by_their_number(
    runs: tuple[RunDirectory, RunDirectory], tmp_path: Path
) -> None:
    moved = build_run(tmp_path / "moved", outcomes(TEXTS[30:], POOR))
    found = compare(runs[0], moved)
    assert found.held_out.shared == len(A) - 10
    assert (found.changed.n, found.targets_differ) == (0, 0)


def test_runs_that_cannot_be_compared_are_refused(runs: tuple[RunDirectory, RunDirectory], tmp_path: Path) -> None:
    run, _ = runs
    with pytest.raises(UsageError, match="are the same run; name two"):
        compare(run, RunDirectory(run.path / ".." / run.path.name))
    rows = outcomes(TEXTS[:60], POOR)
    labelled = build_run(tmp_path / "labels", rows, labels=("animal", "fruit"))
    with pytest.raises(RunError, match=r"has labels \['animal', 'fruit', 'other'\] and .* name two runs of one task"):
        compare(run, labelled)
    loose = build_run(tmp_path / "loose", rows, labels=None, agreement="fields")
    exact = build_run(tmp_path / "exact", rows, labels=None)
    with pytest.raises(RunError, match="has agreement fields and .* agreement unset"):
        compare(loose, exact)
    elsewhere = build_run(tmp_path / "elsewhere", outcomes(f"other {at**7:x}" for at in range(60)))
    with pytest.raises(RunError, match="no query is held out both in .* give both the same queries and --seed"):
        compare(run, elsewhere)
