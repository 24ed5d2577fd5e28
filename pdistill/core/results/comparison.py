"""The comparison of two runs, as `pdistill report A B --json` writes it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from pdistill.core.numerics.estimates import Estimate, Recovery
from pdistill.core.results.metrics import By
from pdistill.core.results.report import InputTokens, Seconds, SplitCounts

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Both(Generic[Value]):
    """A value of both runs."""

    a: Value
    b: Value

    def items(self) -> Iterator[tuple[str, Value]]:
        """Yield the value of each run, by its letter."""
        yield from (("A", self.a), ("B", self.b))


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """One of the runs."""

    path: str
    teacher: str
    student: str
    n: SplitCounts
    tokens: InputTokens
    seconds: Seconds
    usd: float | None


@dataclass(frozen=True, slots=True)
class HeldOutCounts:
    """The held-out queries of each run, and those that both held out."""

    a: int
    b: int
    shared: int


@dataclass(frozen=True, slots=True)
class ComparedOption:
    """An option, or what became of it, that differs."""

    name: str
    a: object
    b: object


@dataclass(frozen=True, slots=True)
class ComparedEstimate:
    """A metric of both runs, on the queries where both have one, and the difference B - A."""

    a: Estimate
    b: Estimate
    difference: Estimate


@dataclass(frozen=True, slots=True)
class ComparedMetrics:
    """Agreement with each run's own teacher, and accuracy, None if no query has a reference."""

    agreement: ComparedEstimate
    accuracy: ComparedEstimate | None

    def by(self, by: By) -> ComparedEstimate | None:
        """Return one of the two."""
        return self.agreement if by == "agreement" else self.accuracy


@dataclass(frozen=True, slots=True)
class ComparedSlice(ComparedMetrics):
    """The student's metrics on one slice; `p` is of a change in full agreement, corrected for the number of slices."""

    n: int
    changed: int
    p: float


@dataclass(frozen=True, slots=True)
class ComparedAnswer:
    """One student's answer to a query, with its run's training target."""

    teacher: str | None
    response: str
    rejected: bool
    agreement: float | None


@dataclass(frozen=True, slots=True)
class ChangedAnswer:
    """A query to which the two students give different answers."""

    id: str
    query: str
    slices: list[str]
    reference: str | None
    a: ComparedAnswer
    b: ComparedAnswer


@dataclass(frozen=True, slots=True)
class ChangedAnswers:
    """The number of all of them, and at most 200, those that lost most agreement first."""

    n: int
    rows: list[ChangedAnswer]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs on the queries that both held out; every difference is B - A."""

    schema: Literal[1]
    task: str
    runs: Both[ComparedRun]
    held_out: HeldOutCounts
    options: list[ComparedOption]
    targets_differ: int
    arms: dict[str, ComparedMetrics]
    recovery_in: By
    recovery: Both[Recovery]
    slices: dict[str, ComparedSlice]
    changed: ChangedAnswers
