"""The verdicts of a judge model, as the report holds them."""

from collections.abc import Iterator
from dataclasses import dataclass

from pdistill.core.money.cost import SamplingCost
from pdistill.core.numerics.estimates import Count, Estimate


@dataclass(frozen=True, slots=True)
class JudgedArm:
    """Held-out queries by the judge's verdict on an arm's answer, compared with the teacher's."""

    as_good: Estimate
    """Fraction that is at least as good: identical, the same or better; undecided counts half, unreadable is left out."""
    identical: Count
    """The same text; the judge was not queried."""
    same: Count
    better: Count
    undecided: Count
    """The verdict changes with the order of the two answers."""
    worse: Count
    rejected: Count
    """The judge was not queried."""
    unreadable: Count
    """The judge's reply is not a verdict."""


@dataclass(frozen=True, slots=True)
class JudgedArms:
    """The arms that are judged."""

    base: JudgedArm
    student: JudgedArm

    def items(self) -> Iterator[tuple[str, JudgedArm]]:
        """Yield each arm with its verdicts."""
        yield from (("base", self.base), ("student", self.student))


@dataclass(frozen=True, slots=True)
class PositionBias:
    """Number of pairs in which the judge preferred the first, or the second, position in both orders; binomial test."""

    first: Count
    second: Count
    p: float | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdicts of a judge model on the answers."""

    judge: str
    """The model, as BACKEND:MODEL."""
    arms: JudgedArms
    order: PositionBias
    cost: SamplingCost
