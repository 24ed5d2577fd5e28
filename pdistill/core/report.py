"""The last stage: what the arms answered becomes figures."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pdistill.core.cost import cost_of
from pdistill.core.evaluate import held_out
from pdistill.core.generate import read_target, rejections
from pdistill.core.queries import Query
from pdistill.core.rows import read_rows
from pdistill.core.rundir import ARMS, RunDirectory
from pdistill.core.statistics import Figure, recovery, share
from pdistill.core.targets import HardTarget
from pdistill.core.task import Task
from pdistill.core.work import Work

SCHEMA = 1


@dataclass(slots=True)
class _Scores:
    """Agreement and accuracy of one arm, query by query; None where a query has none."""

    agreement: list[float | None] = field(default_factory=list)
    accuracy: list[float | None] = field(default_factory=list)
    tokens: int = 0

    def arm(self, slices: Mapping[str, list[int]]) -> dict[str, Any]:
        """Return the arm as the report holds it."""
        everything = range(len(self.agreement))
        return {**self._figures(everything), "slices": {name: self._figures(rows) for name, rows in slices.items()}}

    def _figures(self, rows: Any) -> dict[str, Figure | None]:
        accuracy = _known(self.accuracy, rows)
        return {"agreement": share(_known(self.agreement, rows)), "accuracy": share(accuracy) if accuracy else None}


def make_report(
    work: Work, run: RunDirectory, generate: Mapping[str, Any], train: Mapping[str, Any], evaluate: Mapping[str, Any]
) -> dict[str, Any]:
    """Return report.json: the five arms, recovery, tokens and seconds.

    Args:
        generate: generate.json; likewise `train` and `evaluate`.
    """
    run.check(run.queries)
    run.check(run.examples)
    scores, slices = _score(work, run)
    parts = Counter((row["split"], row["rejected"] is None) for row in read_rows(run.examples))
    count = len(scores["teacher"].agreement)
    tokens = {arm: scores[arm].tokens / count for arm in ("teacher", "student")}
    with_references = any(value is not None for value in scores["teacher"].accuracy)
    return {
        "schema": SCHEMA,
        "task": generate["task"],
        "objective": train["options"]["objective"],
        "teacher": generate["settings"]["teacher"],
        "student": train["settings"]["student"],
        "n": {
            "train": parts["train", True],
            "eval": parts["eval", True],
            "rejected": parts["train", False] + parts["eval", False],
            "eval_rejected": parts["eval", False],
        },
        "rejections": dict(rejections(run).most_common()),
        "arms": {arm: scores[arm].arm(slices) for arm in ARMS},
        "recovery": _recovery(scores, "accuracy" if with_references else "agreement"),
        "recovery_in": "accuracy" if with_references else "agreement",
        "same_model": evaluate["settings"]["alike"],
        "greedy_teacher": generate["settings"]["temperature"] == 0,
        "tokens": {
            "prompt_teacher": round(tokens["teacher"], 2),
            "prompt_student": round(tokens["student"], 2),
            "saved_per_call": round(tokens["teacher"] - tokens["student"], 2),
        },
        "cost": cost_of(run),
        "training": train["settings"]["schedule"],
        "remote": run.read_json("adapter/remote.json"),
        "seconds": run.seconds(),
    }


def _score(work: Work, run: RunDirectory) -> tuple[dict[str, _Scores], dict[str, list[int]]]:
    scores = {arm: _Scores() for arm in ARMS}
    slices: dict[str, list[int]] = {}
    answers = {arm: read_rows(run.check(run.predictions(arm).path)) for arm in ARMS}
    for place, (query, example) in enumerate(held_out(work, run)):
        for name in query.slices:
            slices.setdefault(name, []).append(place)
        for arm in ARMS:
            _add(scores[arm], arm, work.task, query, example, next(answers[arm]))
    return scores, dict(sorted(slices.items()))


def _add(
    scores: _Scores, arm: str, task: Task, query: Query, example: Mapping[str, Any], row: Mapping[str, Any]
) -> None:
    """Add one answer: a rejected one disagrees and is wrong; the teacher is right or wrong in what the student learns."""
    target = read_target(task, query, row)
    learnt = example["target"]
    text = target.text if isinstance(target, HardTarget) else None
    scores.tokens += row["prompt_tokens"]
    scores.agreement.append(None if learnt is None else 0.0 if text is None else task.agreement(query, text, learnt))
    judged = learnt if arm == "teacher" else text
    known = task.score(query, judged if judged is not None else "")
    scores.accuracy.append(None if known is None else 0.0 if judged is None else known)


def _recovery(scores: Mapping[str, _Scores], by: str) -> dict[str, float | None]:
    rows = [
        place
        for place in range(len(scores["teacher"].agreement))
        if all(getattr(scores[arm], by)[place] is not None for arm in ("student", "base", "teacher"))
    ]
    return recovery(*(_known(getattr(scores[arm], by), rows) for arm in ("student", "base", "teacher")))


def _known(values: list[float | None], rows: Any) -> list[float]:
    return [value for value in (values[row] for row in rows) if value is not None]


def arms_of(report: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the arms that were run, in their order."""
    yield from ((arm, report["arms"][arm]) for arm in ARMS if report["arms"][arm] is not None)
