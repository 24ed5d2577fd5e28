"""Builds the report from what a run holds."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from pdistill.core.money.cost import cost_of
from pdistill.core.numerics.estimates import Estimate
from pdistill.core.numerics.statistics import share, worse_slices
from pdistill.core.probes.findings import findings
from pdistill.core.results.disagreements import confusions, disagreements
from pdistill.core.results.judgement import Judgement
from pdistill.core.results.metrics import Arms
from pdistill.core.results.report import (
    Fields,
    Groups,
    InputTokens,
    Provenance,
    Report,
    Seconds,
    SplitCounts,
    TrainingSchedule,
)
from pdistill.core.results.scores import Scores, score
from pdistill.core.results.shipping import verdict
from pdistill.core.setup.opened_run import OpenedRun
from pdistill.core.store.example import Example
from pdistill.core.store.heldout import HeldOut
from pdistill.core.store.records import from_row
from pdistill.core.store.rows import read_records
from pdistill.core.store.rundir import ARMS, REMOTE_NOTE, RunDirectory
from pdistill.core.store.settings import EvaluateSettings, GenerateSettings, TrainSettings

POINTS = 200
MOST_FIELDS = 50
"""Fields that are reported one by one, those that most answers have."""
COMPARED = ("base", "base_prompted", "teacher")
JUDGEMENT = "judgement.json"


def make_report(opened: OpenedRun, train: TrainSettings, evaluate: EvaluateSettings) -> Report:
    """Return the report of an evaluated run."""
    run, task, generate = opened.directory, opened.task, opened.settings
    held_out = HeldOut(run)
    scores = score(task, run, held_out)
    n, rejections, groups = _examples(run)
    judgement = run.read_json(JUDGEMENT)
    made = Report(
        schema=1,
        task=generate.task,
        objective=train.options.objective,
        teacher=generate.teacher,
        student=train.student,
        n=n,
        rejections=rejections,
        groups=groups,
        arms=Arms(**{arm: scores.arm(arm) for arm in ARMS}),
        recovery=scores.recovery(scores.recovery_in),
        recovery_in=scores.recovery_in,
        differences={arm: scores.difference(arm) for arm in COMPARED},
        same_model=evaluate.same_model,
        greedy_teacher=generate.repeatable,
        tokens=_tokens(scores),
        cost=cost_of(run, len(held_out)),
        worse_slices=_worse_slices(scores),
        graded=scores.graded,
        fields=_fields(scores),
        confusions=confusions(scores, task.labels),
        disagreements=disagreements(task, run, held_out, scores),
        probes=findings(task, run, evaluate.left_out),
        preflight=run.read_json("preflight.json"),
        judge=None if judgement is None else from_row(Judgement, judgement),
        training=from_row(TrainingSchedule, train.schedule.as_row()),
        loss=list(_loss(run)),
        made=_made(run, generate, train),
        remote=run.read_json(f"adapter/{REMOTE_NOTE}"),
        seconds=Seconds(**run.seconds()),
    )
    return replace(made, verdict=verdict(made))


def _examples(run: RunDirectory) -> tuple[SplitCounts, dict[str, int], Groups]:
    """Return the examples by part of the split, the reasons for rejections, and the grouped queries."""
    parts: Counter[tuple[str, bool]] = Counter()
    reasons: Counter[str] = Counter()
    followers: Counter[str] = Counter()
    for example in read_records(Example, run.check(run.examples)):
        parts[example.split, example.rejected is None] += 1
        if example.rejected is not None:
            reasons[example.rejected] += 1
        if example.group != example.id:
            followers[example.group] += 1
    sizes = [1 + count for count in followers.values()]
    n = SplitCounts(
        train=parts["train", True],
        eval=parts["eval", True],
        rejected=parts["train", False] + parts["eval", False],
        eval_rejected=parts["eval", False],
    )
    return n, dict(reasons.most_common()), Groups(sum(sizes), len(sizes), max(sizes, default=0))


def _tokens(scores: Scores) -> InputTokens:
    teacher, student = (scores.arms[arm].prompt_tokens / len(scores.places) for arm in ("teacher", "student"))
    return InputTokens(round(teacher, 2), round(student, 2), round(teacher - student, 2))


def _fields(scores: Scores) -> Fields | None:
    if not scores.fields:
        return None
    equal = [value for query in scores.fields_by_query for value in query]
    most = sorted(scores.fields.items(), key=lambda field: -len(field[1]))[:MOST_FIELDS]
    return Fields(
        all=Estimate(len(scores.fields_by_query), round(sum(equal) / len(equal), 6), None, None),
        by_name={name: share(values) for name, values in most},
    )


def _worse_slices(scores: Scores) -> dict[str, float]:
    agreement = scores.arms["student"].agreement
    usable = {place: value for place, value in enumerate(agreement) if value is not None}
    order = {place: at for at, place in enumerate(usable)}
    slices = {name: [order[place] for place in places if place in order] for name, places in scores.slices.items()}
    return worse_slices(list(usable.values()), slices)


def _loss(run: RunDirectory) -> Iterator[list[float]]:
    """Yield the training curve as [step, loss in nats per token]: at most POINTS, each a mean over consecutive steps."""
    run.check(run.metrics().path)
    rows = list(run.metrics().rows())
    size = -(-len(rows) // POINTS) or 1
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        yield [part[-1]["step"], round(sum(row["loss"] for row in part) / len(part), 6)]


def _made(run: RunDirectory, generate: GenerateSettings, train: TrainSettings) -> Provenance:
    return Provenance(
        queries=generate.count,
        hashes=run.asked()["hashes"],
        seed=generate.seed,
        format=generate.format,
        temperature=generate.temperature,
        top_p=generate.top_p,
        max_tokens=generate.max_tokens,
        samples=generate.samples,
        rank=train.options.rank,
        resolved={**generate.resolved, **train.resolved},
        versions=run.asked()["versions"],
    )
