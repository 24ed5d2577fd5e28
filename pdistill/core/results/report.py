"""The last stage: what the arms answered becomes figures."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from pdistill.core.money.cost import cost_of
from pdistill.core.numerics.statistics import worse_slices
from pdistill.core.probes.findings import findings
from pdistill.core.results.disagreements import confusions, disagreements
from pdistill.core.results.scores import Scores, score
from pdistill.core.setup.opened_run import OpenedRun
from pdistill.core.store.heldout import HeldOut
from pdistill.core.store.rows import read_log, read_rows
from pdistill.core.store.rundir import ARMS, REMOTE_NOTE, RunDirectory
from pdistill.core.store.settings import EvaluateSettings, GenerateSettings, TrainSettings

SCHEMA = 1
POINTS = 200
COMPARED = ("base", "base_prompted", "teacher")
FEW = 20
"""Queries below which a slice's figure says little."""


def make_report(opened: OpenedRun, train: TrainSettings, evaluate: EvaluateSettings) -> dict[str, Any]:
    """Return report.json, in the published form."""
    from pdistill.core.results.reportform import require_form

    made = _report(opened, train, evaluate)
    require_form(made)
    return made


def _report(opened: OpenedRun, train: TrainSettings, evaluate: EvaluateSettings) -> dict[str, Any]:
    run, task, generate = opened.directory, opened.task, opened.settings
    held_out = HeldOut(run)
    scores = score(task, run, held_out)
    by = "accuracy" if scores.with_references else "agreement"
    return {
        "schema": SCHEMA,
        "task": generate.task,
        "objective": train.options.objective,
        "teacher": generate.teacher,
        "student": train.student,
        **_examples(run),
        "arms": {arm: scores.arm(arm) for arm in ARMS},
        "recovery": scores.recovery(by),
        "recovery_in": by,
        "differences": {arm: scores.difference(arm) for arm in COMPARED},
        "same_model": evaluate.same_model,
        "greedy_teacher": generate.repeatable,
        "tokens": _tokens(scores),
        "cost": cost_of(run, len(held_out)),
        "worse_slices": _worse_slices(scores),
        "confusions": confusions(scores, task.labels),
        "disagreements": disagreements(task, run, held_out, scores),
        "probes": findings(task, run, evaluate.left_out),
        "preflight": run.read_json("preflight.json"),
        "judge": run.read_json("judgement.json"),
        "training": train.schedule.as_row(),
        "loss": _loss(run),
        "made": _made(run, generate, train),
        "remote": run.read_json(f"adapter/{REMOTE_NOTE}"),
        "seconds": run.seconds(),
    }


def _examples(run: RunDirectory) -> dict[str, Any]:
    """Return how many examples there are in each part, why answers were rejected, and how many queries are grouped."""
    parts: Counter[tuple[str, bool]] = Counter()
    reasons: Counter[str] = Counter()
    followers: Counter[str] = Counter()
    for row in read_rows(run.examples):
        parts[row["split"], row["rejected"] is None] += 1
        if row["rejected"] is not None:
            reasons[row["rejected"]] += 1
        if row["group"] != row["id"]:
            followers[row["group"]] += 1
    shared = [1 + count for count in followers.values()]
    return {
        "n": {
            "train": parts["train", True],
            "eval": parts["eval", True],
            "rejected": parts["train", False] + parts["eval", False],
            "eval_rejected": parts["eval", False],
        },
        "rejections": dict(reasons.most_common()),
        "groups": {"queries": sum(shared), "groups": len(shared), "largest": max(shared, default=0)},
    }


def _tokens(scores: Scores) -> dict[str, float]:
    teacher, student = (scores.arms[arm].prompt_tokens / len(scores.places) for arm in ("teacher", "student"))
    return {
        "prompt_teacher": round(teacher, 2),
        "prompt_student": round(student, 2),
        "saved_per_call": round(teacher - student, 2),
    }


def _worse_slices(scores: Scores) -> dict[str, float]:
    agreement = scores.arms["student"].agreement
    usable = {place: value for place, value in enumerate(agreement) if value is not None}
    order = {place: at for at, place in enumerate(usable)}
    slices = {name: [order[place] for place in places if place in order] for name, places in scores.slices.items()}
    return worse_slices(list(usable.values()), slices)


def _loss(run: RunDirectory) -> list[list[float]]:
    """Return the training curve as [step, loss in nats a token]: at most 200 points, each a mean of consecutive steps."""
    rows = read_log(run.metrics().path)
    size = -(-len(rows) // POINTS) or 1
    parts = [rows[start : start + size] for start in range(0, len(rows), size)]
    return [[part[-1]["step"], round(sum(row["loss"] for row in part) / len(part), 6)] for part in parts]


def _made(run: RunDirectory, generate: GenerateSettings, train: TrainSettings) -> dict[str, Any]:
    """Return how the run was made: what a reader needs to make it again."""
    settings = generate.settings_row()
    return {
        "queries": generate.count,
        "hashes": run.asked()["hashes"],
        **{key: settings[key] for key in ("seed", "format", "temperature", "top_p", "max_tokens", "samples")},
        "rank": train.options.rank,
        "resolved": {**generate.resolved, **train.resolved},
        "versions": run.asked()["versions"],
    }


def arms_of(report: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the arms that were run, in their order."""
    yield from ((arm, report["arms"][arm]) for arm in ARMS if report["arms"][arm] is not None)
