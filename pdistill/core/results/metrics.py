"""Agreement and accuracy of the arms, as the report holds them."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Literal

from pdistill.core.numerics.estimates import Estimate

By = Literal["agreement", "accuracy"]
BY: tuple[By, By] = ("agreement", "accuracy")


@dataclass(frozen=True, slots=True)
class Metrics:
    """Agreement with the teacher, and accuracy against the reference."""

    agreement: Estimate
    accuracy: Estimate | None
    """Null if no query has a reference."""


@dataclass(frozen=True, slots=True)
class ArmMetrics(Metrics):
    """One arm on the held-out queries."""

    slices: dict[str, Metrics]
    equal: Estimate | None = None
    """Fraction of the answers that agree in full; null in a report that an earlier version made."""
    ignoring_form: Estimate | None = None
    """Agreement if case, and whitespace and punctuation at the ends, are ignored; null likewise."""


@dataclass(frozen=True, slots=True)
class Arms:
    """The five arms; one that was not run is null."""

    teacher: ArmMetrics | None
    base: ArmMetrics | None
    base_prompted: ArmMetrics | None
    student: ArmMetrics | None
    student_prompted: ArmMetrics | None

    def items(self) -> Iterator[tuple[str, ArmMetrics]]:
        """Yield the arms that were run, in their order."""
        for field in fields(self):
            if (metrics := getattr(self, field.name)) is not None:
                yield field.name, metrics

    def __getitem__(self, arm: str) -> ArmMetrics:
        """Return the metrics of an arm that was run."""
        return dict(self.items())[arm]
