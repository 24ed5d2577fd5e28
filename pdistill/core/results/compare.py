"""Compares two runs of one task, on the queries that both held out."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pdistill.core.errors import RunError, UsageError
from pdistill.core.numerics.statistics import Figure, difference, moved_slices, share
from pdistill.core.results.disagreements import SHOWN, cut
from pdistill.core.results.reporting import report
from pdistill.core.results.scores import BY, Row, Scores, collect, judged
from pdistill.core.setup.config import FILE_KEYS
from pdistill.core.setup.opened_run import reopen
from pdistill.core.store.heldout import HeldOut
from pdistill.core.store.rundir import ARMS, RunDirectory

SCHEMA = 1
SIDES = ("a", "b")
SAME_TASK = ("task", "labels", "agreement")


@dataclass(frozen=True, slots=True)
class Shared:
    """The queries that both runs held out, in the order of the second, and what is known of them in each."""

    rows: list[tuple[Row, Row]]
    held_out: tuple[int, int]

    def scores(self, side: int) -> Scores:
        """Return the scores of one run on the shared queries."""
        return collect(pair[side] for pair in self.rows)


def compare(a: RunDirectory, b: RunDirectory) -> dict[str, Any]:
    """Return how two runs compare on the queries that both held out; every difference is of b less a.

    Raises:
        UsageError: both are the same run.
        RunError: one is not evaluated; they are of different tasks; or no query is held out in both.
    """
    if a.path.resolve() == b.path.resolve():
        raise UsageError(f"'{a.path}' and '{b.path}' are the same run; name two")
    reports = (report(a), report(b))
    _require_one_task(a, b)
    shared = _shared(a, b)
    both = (shared.scores(0), shared.scores(1))
    by = "accuracy" if both[0].with_references else "agreement"
    changed = [place for place, pair in enumerate(shared.rows) if _said(pair[0]) != _said(pair[1])]
    targets = [(one[1], other[1]) for one, other in shared.rows]
    return {
        "schema": SCHEMA,
        "task": reports[1]["task"],
        "runs": _sides(*(_of(run, made) for run, made in zip((a, b), reports, strict=True))),
        "held_out": {**_sides(*shared.held_out), "shared": len(shared.rows)},
        "options": _options(a, b, reports),
        "targets_differ": sum(one != other for one, other in targets),
        "arms": {arm: _figures(both, arm, both[0].places) for arm in ARMS},
        "recovery_in": by,
        "recovery": _sides(*(scores.recovery(by) for scores in both)),
        "slices": _slices(both, changed),
        "changed": {"n": len(changed), "rows": _changed(shared, both, changed)},
    }


def _require_one_task(a: RunDirectory, b: RunDirectory) -> None:
    asked = [run.asked()["options"] for run in (a, b)]
    for key in SAME_TASK:
        values = [options.get(key) for options in asked]
        if values[0] != values[1]:
            shown = [f"{key} {'unset' if value is None else value}" for value in values]
            raise RunError(
                f"'{a.path}' has {shown[0]} and '{b.path}' {shown[1]}, so their figures can't be compared; name two runs of "
                "one task"
            )


def _shared(a: RunDirectory, b: RunDirectory) -> Shared:
    """Return the queries that both held out.

    Raises:
        RunError: there is none.
    """
    first = dict(_rows(a))
    second = list(_rows(b))
    rows = [(first[key], row) for key, row in second if key in first]
    if not rows:
        raise RunError(
            f"no query is held out both in '{a.path}' and in '{b.path}', so there is nothing to compare; give both the same "
            "queries and --seed"
        )
    return Shared(rows, (len(first), len(second)))


def _rows(run: RunDirectory) -> Iterator[tuple[object, Row]]:
    """Yield the held-out queries, each with what it is known by: text and reference, since ids may be mere numbers."""
    task = reopen(run).task
    seen: Counter[object] = Counter()
    for query, learnt, answers in judged(task, run, HeldOut(run), ARMS):
        key = query.earlier, query.text, query.reference
        seen[key] += 1
        yield (key, seen[key]), (query, learnt, answers)


def _sides(*values: Any) -> dict[str, Any]:
    return dict(zip(SIDES, values, strict=True))


def _of(run: RunDirectory, made: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "path": str(run.path),
        **{key: made[key] for key in ("teacher", "student", "n", "tokens", "seconds")},
        "usd": made["cost"]["usd"],
    }


def _options(a: RunDirectory, b: RunDirectory, reports: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what the runs were made with differently: options, and what became of them."""
    flat = [dict(_flat(_made_with(run, made))) for run, made in zip((a, b), reports, strict=True)]
    return [
        {"name": name, **_sides(flat[0].get(name), flat[1].get(name))}
        for name in sorted({*flat[0], *flat[1]})
        if flat[0].get(name) != flat[1].get(name)
    ]


def _made_with(run: RunDirectory, made: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that a run was made with; of files, their hashes count and not their paths."""
    asked = {key: value for key, value in run.asked()["options"].items() if key not in FILE_KEYS}
    settled = {key: made[key] for key in ("teacher", "student", "objective")}
    return {**asked, **settled, **made["training"], **made["made"]}


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        name = f"{before}{key.replace('_', '-')}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        else:
            yield name, value


def _figures(both: tuple[Scores, Scores], arm: str, places: Sequence[int]) -> dict[str, Any]:
    """Return agreement and accuracy of an arm in both runs, and their difference, on the queries where both have one."""
    return {by: _figure(both, arm, by, places) for by in BY}


def _figure(both: tuple[Scores, Scores], arm: str, by: str, places: Sequence[int]) -> dict[str, Figure] | None:
    columns = [getattr(scores.arms[arm], by) for scores in both]
    known = [place for place in places if all(column[place] is not None for column in columns)]
    if by == "accuracy" and not known:
        return None
    values = [[column[place] for place in known] for column in columns]
    return {**_sides(*map(share, values)), "difference": difference(values[1], values[0])}


def _slices(both: tuple[Scores, Scores], changed: Sequence[int]) -> dict[str, Any]:
    """Return the student's figures slice by slice, as the second run has them; `p`: whether that is more than chance."""
    columns = [scores.arms["student"].agreement for scores in both]
    chances = moved_slices(columns[0], columns[1], both[1].slices)
    answers = set(changed)
    return {
        name: {
            **_figures(both, "student", places),
            "n": len(places),
            "changed": len(answers.intersection(places)),
            "p": chances[name],
        }
        for name, places in both[1].slices.items()
    }


def _said(row: Row) -> str | None:
    return row[2]["student"].text


def _changed(shared: Shared, both: tuple[Scores, Scores], places: Sequence[int]) -> list[dict[str, Any]]:
    """Return the queries whose answer changed, at most 200: those that lost the most agreement first."""
    gains = dict(zip(places, (_gain(both, place) for place in places), strict=True))
    return [_as_row(*shared.rows[place]) for place in sorted(places, key=lambda place: (gains[place], place))[:SHOWN]]


def _gain(both: tuple[Scores, Scores], place: int) -> float:
    before, after = (scores.arms["student"].agreement[place] for scores in both)
    return 0.0 if before is None or after is None else after - before


def _as_row(one: Row, other: Row) -> dict[str, Any]:
    query = other[0]
    return {
        "id": query.id,
        "query": cut(query.text),
        "slices": list(query.slices),
        "reference": None if query.reference is None else cut(query.reference),
        **_sides(*map(_answer, (one, other))),
    }


def _answer(row: Row) -> dict[str, Any]:
    _, learnt, answers = row
    student = answers["student"]
    return {
        "teacher": None if learnt is None else cut(learnt),
        "response": cut(student.row.response),
        "rejected": student.text is None,
        "agreement": student.agreement,
    }
