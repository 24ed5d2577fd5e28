"""Where the student does not answer as the teacher did: label by label, and query by query."""

from collections.abc import Mapping
from typing import Any

from pdistill.core.contract.task import Task
from pdistill.core.results.scores import Judged, Scores, judged
from pdistill.core.store.heldout import HeldOut
from pdistill.core.store.rundir import RunDirectory

SHOWN = 200
LONGEST = 1_000


def confusions(scores: Scores, labels: tuple[str, ...] | None) -> dict[str, Any] | None:
    """Return which labels the student takes for which, or None where answers are no labels.

    The counts of all pairs that occur, the commonest first; `student` is null where its answer was rejected.
    """
    if labels is None:
        return None
    pairs = sorted(scores.pairs.items(), key=lambda pair: (-pair[1], pair[0][0], pair[0][1] or ""))
    rows = [{"teacher": teacher, "student": student, "n": n} for (teacher, student), n in pairs]
    return {"labels": list(labels), "rows": rows}


def disagreements(task: Task, run: RunDirectory, held_out: HeldOut, scores: Scores) -> dict[str, Any]:
    """Return the held-out queries on which the student does not fully agree: those of the worst slices first.

    At most 200 are shown, and of a text its first 1,000 characters; `n` counts them all.
    """
    agreement = scores.arms["student"].agreement
    rank = _ranks(scores)
    places = [place for place in scores.places if agreement[place] not in (None, 1)]
    first = {place: at for at, place in enumerate(sorted(places, key=lambda place: (rank[place], place))[:SHOWN])}
    rows: list[dict[str, Any]] = [{}] * len(first)
    shown = judged(task, run, held_out, ("base", "student"), first)
    for place, (query, learnt, answers) in zip(sorted(first), shown, strict=True):
        rows[first[place]] = {
            "id": query.id,
            "query": cut(query.text),
            "slices": list(query.slices),
            "reference": None if query.reference is None else cut(query.reference),
            "teacher": cut(learnt or ""),
            **{arm: _said(answer) for arm, answer in answers.items()},
            "agreement": agreement[place],
        }
    return {"n": len(places), "rows": rows}


def _ranks(scores: Scores) -> list[float]:
    """Return for each held-out query the student's agreement in the worst of its slices."""
    rank = [1.0] * len(scores.places)
    for places in scores.slices.values():
        known = scores.arms["student"].known("agreement", places)
        mean = sum(known) / len(known) if known else 1.0
        for place in places:
            rank[place] = min(rank[place], mean)
    return rank


def _said(answer: Judged) -> Mapping[str, Any]:
    return {"response": cut(answer.row.response), "rejected": answer.text is None}


def cut(text: str) -> str:
    """Return the text, or its first 1,000 characters and an ellipsis."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
