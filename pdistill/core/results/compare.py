"""Compares two runs of one task, on the queries that both held out."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from pdistill.core.errors import RunError, UsageError
from pdistill.core.numerics.statistics import difference, moved_slices, share
from pdistill.core.results.comparison import (
    Both,
    ChangedAnswer,
    ChangedAnswers,
    ComparedAnswer,
    ComparedEstimate,
    ComparedMetrics,
    ComparedOption,
    ComparedRun,
    ComparedSlice,
    Comparison,
    HeldOutCounts,
)
from pdistill.core.results.disagreements import SHOWN, cut
from pdistill.core.results.metrics import By
from pdistill.core.results.report import Report
from pdistill.core.results.reporting import read_report
from pdistill.core.results.scores import ScoredQuery, Scores, collect, scored
from pdistill.core.setup.config import FILE_KEYS
from pdistill.core.setup.opened_run import reopen
from pdistill.core.store.heldout import HeldOut
from pdistill.core.store.rundir import ARMS, RunDirectory

SAME_TASK = ("task", "labels", "agreement")


@dataclass(frozen=True, slots=True)
class SharedQueries:
    """The queries that both runs held out, in the order of the second, as each of them scored them.

    Args:
        held_out: how many queries each run held out.
    """

    rows: list[tuple[ScoredQuery, ScoredQuery]]
    held_out: tuple[int, int]

    def scores(self) -> tuple[Scores, Scores]:
        """Return the scores of both runs on the shared queries."""
        return collect(a for a, _ in self.rows), collect(b for _, b in self.rows)

    def changed(self) -> list[int]:
        """Return the places of the queries to which the students give different answers."""
        texts = ([each.answers["student"].text for each in pair] for pair in self.rows)
        return [place for place, (a, b) in enumerate(texts) if a != b]


def compare(a: RunDirectory, b: RunDirectory) -> Comparison:
    """Return the comparison of two runs on the queries that both held out; every difference is B - A.

    Raises:
        UsageError: both are the same run.
        RunError: one is not evaluated; they are of different tasks; or no query is held out in both.
    """
    if a.path.resolve() == b.path.resolve():
        raise UsageError(f"'{a.path}' and '{b.path}' are the same run; name two")
    reports = Both(read_report(a), read_report(b))
    _require_one_task(a, b)
    shared = _shared(a, b)
    both, changed = shared.scores(), shared.changed()
    by = both[0].recovery_in
    return Comparison(
        schema=1,
        task=reports.b.task,
        runs=Both(_run(a, reports.a), _run(b, reports.b)),
        held_out=HeldOutCounts(*shared.held_out, shared=len(shared.rows)),
        options=list(_options(dict(_flat(_made_with(a, reports.a))), dict(_flat(_made_with(b, reports.b))))),
        targets_differ=sum(one.target != other.target for one, other in shared.rows),
        arms={arm: _metrics(both, arm, both[0].places) for arm in ARMS},
        recovery_in=by,
        recovery=Both(both[0].recovery(by), both[1].recovery(by)),
        slices=_slices(both, changed),
        changed=ChangedAnswers(len(changed), _changed(shared, both, changed)),
    )


def _require_one_task(a: RunDirectory, b: RunDirectory) -> None:
    asked = [run.asked()["options"] for run in (a, b)]
    for key in SAME_TASK:
        values = [options.get(key) for options in asked]
        if values[0] != values[1]:
            shown = [f"{key} {'unset' if value is None else value}" for value in values]
            raise RunError(
                f"'{a.path}' has {shown[0]} and '{b.path}' {shown[1]}, so their metrics can't be compared; name two runs of "
                "one task"
            )


def _shared(a: RunDirectory, b: RunDirectory) -> SharedQueries:
    """Return the queries that both held out.

    Raises:
        RunError: there are none.
    """
    first = dict(_scored(a))
    second = list(_scored(b))
    rows = [(first[key], query) for key, query in second if key in first]
    if not rows:
        raise RunError(
            f"no query is held out both in '{a.path}' and in '{b.path}', so there is nothing to compare; give both the same "
            "queries and --seed"
        )
    return SharedQueries(rows, (len(first), len(second)))


def _scored(run: RunDirectory) -> Iterator[tuple[object, ScoredQuery]]:
    """Yield the held-out queries, each with its key: text and reference, since ids may be mere numbers."""
    task = reopen(run).task
    seen: Counter[object] = Counter()
    for each in scored(task, run, HeldOut(run), ARMS):
        key = each.query.earlier, each.query.text, each.query.reference
        seen[key] += 1
        yield (key, seen[key]), each


def _run(run: RunDirectory, report: Report) -> ComparedRun:
    return ComparedRun(
        path=str(run.path),
        teacher=report.teacher,
        student=report.student,
        n=report.n,
        tokens=report.tokens,
        seconds=report.seconds,
        usd=report.cost.usd,
    )


def _options(a: Mapping[str, object], b: Mapping[str, object]) -> Iterator[ComparedOption]:
    """Yield what the runs were made with differently, by name."""
    for name in sorted({*a, *b}):
        if a.get(name) != b.get(name):
            yield ComparedOption(name, a.get(name), b.get(name))


def _made_with(run: RunDirectory, report: Report) -> dict[str, object]:
    """Return all that a run was made with; of files, their hashes count and not their paths."""
    options = {key: value for key, value in run.asked()["options"].items() if key not in FILE_KEYS}
    models = {"teacher": report.teacher, "student": report.student, "objective": report.objective}
    return {**options, **models, **asdict(report.training), **asdict(report.made)}


def _flat(values: Mapping[str, object], before: str = "") -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        name = f"{before}{key.replace('_', '-')}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        else:
            yield name, value


def _metrics(both: tuple[Scores, Scores], arm: str, places: Sequence[int]) -> ComparedMetrics:
    """Return agreement and accuracy of an arm in both runs, and their differences, on the queries where both have one."""
    accuracy = _estimate(both, arm, "accuracy", places)
    return ComparedMetrics(_estimate(both, arm, "agreement", places), accuracy if accuracy.difference.n else None)


def _estimate(both: tuple[Scores, Scores], arm: str, by: By, places: Sequence[int]) -> ComparedEstimate:
    columns = [scores.arms[arm].by(by) for scores in both]
    known = [place for place in places if all(column[place] is not None for column in columns)]
    a, b = (scores.arms[arm].known(by, known) for scores in both)
    return ComparedEstimate(share(a), share(b), difference(b, a))


def _slices(both: tuple[Scores, Scores], changed: Sequence[int]) -> dict[str, ComparedSlice]:
    """Return the student's metrics on the slices of the second run."""
    columns = [scores.arms["student"].agreement for scores in both]
    p_values = moved_slices(columns[0], columns[1], both[1].slices)
    answers = set(changed)
    slices = {}
    for name, places in both[1].slices.items():
        metrics, moved = _metrics(both, "student", places), len(answers.intersection(places))
        slices[name] = ComparedSlice(metrics.agreement, metrics.accuracy, len(places), moved, p_values[name])
    return slices


def _changed(shared: SharedQueries, both: tuple[Scores, Scores], places: Sequence[int]) -> list[ChangedAnswer]:
    """Return the queries whose answer changed, at most 200: those that lost most agreement first."""
    gains = {place: _gain(both, place) for place in places}
    return [_changed_answer(*shared.rows[place]) for place in sorted(places, key=lambda at: (gains[at], at))[:SHOWN]]


def _gain(both: tuple[Scores, Scores], place: int) -> float:
    before, after = (scores.arms["student"].agreement[place] for scores in both)
    return 0.0 if before is None or after is None else after - before


def _changed_answer(a: ScoredQuery, b: ScoredQuery) -> ChangedAnswer:
    query = b.query
    return ChangedAnswer(
        id=query.id,
        query=cut(query.text),
        slices=list(query.slices),
        reference=None if query.reference is None else cut(query.reference),
        a=_answer(a),
        b=_answer(b),
    )


def _answer(scored: ScoredQuery) -> ComparedAnswer:
    student = scored.answers["student"]
    teacher = None if scored.target is None else cut(scored.target)
    return ComparedAnswer(teacher, cut(student.response), student.text is None, student.agreement)
