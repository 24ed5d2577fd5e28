"""The report: what report.json holds, as types from which it is written, by which it is checked, and in which it is read.

`build` makes one from a run. `dataclasses.asdict` is its row, `from_row` reads one, and `schema` checks what is written.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Len

from pdistill.core.money.cost import Cost
from pdistill.core.numerics.estimates import Amount, Count, Estimate, Recovery
from pdistill.core.probes.findings import Probes
from pdistill.core.results.disagreements import Confusions, Disagreements
from pdistill.core.results.judgement import Judgement
from pdistill.core.results.metrics import Arms, By, Metrics
from pdistill.core.results.verdict import Verdict

FEW = 20
"""Queries below which a slice's intervals are too wide to conclude much."""


@dataclass(frozen=True, slots=True)
class SplitCounts:
    """Training and held-out queries: with a usable teacher answer, or rejected."""

    train: Count
    eval: Count
    rejected: Count
    eval_rejected: Count


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups of related queries that were kept within one split."""

    queries: Count
    groups: Count
    largest: Count


@dataclass(frozen=True, slots=True)
class InputTokens:
    """Input tokens per call, averaged over the held-out queries."""

    prompt_teacher: Amount
    prompt_student: Amount
    saved_per_call: float


@dataclass(frozen=True, slots=True)
class Fields:
    """The student's agreement with the teacher, field by field."""

    all: Estimate
    """Fraction of the fields of all answers that are equal, without an interval; `n` counts the queries."""
    by_name: dict[str, Estimate]
    """By field, at most 50: `n` counts the queries whose answer of the teacher or of the student has it."""


@dataclass(frozen=True, slots=True)
class TrainingSchedule:
    """The training schedule."""

    rows: Count
    batch_size: Count
    epochs: Count
    learning_rate: Amount
    seed: int
    steps: Count
    checkpoint_every: Count


@dataclass(frozen=True, slots=True)
class Provenance:
    """How the run was made."""

    queries: Count
    hashes: dict[str, str | int]
    seed: int
    format: Literal["chat", "text"]
    temperature: Amount
    top_p: Amount
    max_tokens: Count
    samples: Count
    rank: Count
    resolved: dict[str, object]
    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class Seconds:
    """Total running time of each stage, over all restarts."""

    generate: Amount
    train: Amount
    evaluate: Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The contents of report.json."""

    schema: Literal[1]
    """Keys may be added under the same number; a key never changes its meaning."""
    task: str
    objective: str
    """The training objective."""
    teacher: str
    """The model, as BACKEND:MODEL."""
    student: str
    """The model, as BACKEND:MODEL."""
    n: SplitCounts
    rejections: dict[str, Count]
    """How often each reason occurs."""
    groups: Groups
    arms: Arms
    recovery: Recovery
    """(student - base) / (teacher - base); null if the teacher is no better than the base."""
    recovery_in: By
    differences: dict[str, Metrics]
    """How much better the student, without the prompt, is than each of these arms."""
    same_model: bool
    """Whether the base is the teacher's own model, run in the same way at temperature 0."""
    greedy_teacher: bool
    """Whether the teacher's agreement with itself is 1 by definition."""
    tokens: InputTokens
    cost: Cost
    worse_slices: dict[str, Amount]
    """Slices that are significantly worse than all other queries, each with its corrected p-value."""
    graded: bool | None = None
    """Whether any answer agrees in part, so that agreement is a mean of grades; null in an earlier version's report."""
    fields: Fields | None = None
    """The student's agreement field by field; null if answers are not compared by fields."""
    confusions: Confusions | None
    """Null if the task has no labels."""
    disagreements: Disagreements
    probes: Probes | None
    """Null in a run that was started without probes."""
    verdict: Verdict | None = None
    """Whether the student can be shipped; null in an earlier version's report."""
    preflight: dict[str, object] | None
    """The contents of preflight.json."""
    judge: Judgement | None
    """The verdicts of a judge model; null if there was none."""
    training: TrainingSchedule
    loss: list[Annotated[list[float], Len(2, 2)]]
    """The training curve: [step, nats per trained token]."""
    made: Provenance
    remote: dict[str, object] | None
    """The contents of adapter/remote.json, about a student that a service trained."""
    seconds: Seconds
