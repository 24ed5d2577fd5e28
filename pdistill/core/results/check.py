"""Whether a run is as good as it is asked to be: by the lower bounds of its figures, not by the figures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pdistill.core.errors import UsageError, unknown
from pdistill.core.results.markdown import recovery_note

Figure = Mapping[str, Any]

FIGURES: Mapping[str, Callable[[Mapping[str, Any]], Figure]] = {
    "min_agreement": lambda report: report["arms"]["student"]["agreement"],
    "min_recovery": lambda report: report["recovery"],
}


@dataclass(frozen=True, slots=True)
class Checked:
    """One threshold, and the figure of the run that is held against it."""

    name: str
    threshold: float
    figure: Figure
    missing: str

    @property
    def passed(self) -> bool:
        """Whether the lower bound of the 95 % interval reaches the threshold."""
        return self.figure["low"] is not None and self.figure["low"] >= self.threshold

    @property
    def what(self) -> str:
        """The figure's name, such as "agreement"."""
        return self.name.removeprefix("min_")

    @property
    def line(self) -> str:
        """What was found, in one line."""
        low, value = self.figure["low"], self.figure["value"]
        if low is None:
            shown = "without a value" if value is None else f"{value:.3f}"
            return f"{self.what} {shown} can't be held against {self.threshold:g}: {self.missing}"
        interval = f"{value:.3f} ({low:.3f} to {self.figure['high']:.3f})"
        state = "reaches" if self.passed else "is below"
        return f"{self.what} {interval}: its lower bound {low:.3f} {state} {self.threshold:g}"


def check(report: Mapping[str, Any], thresholds: Mapping[str, float]) -> list[Checked]:
    """Return each threshold with the run's figure, in the order of FIGURES.

    Raises:
        UsageError: there is no threshold; one that is unknown; one of agreement that is not from 0 to 1.
    """
    if not thresholds:
        raise UsageError(
            "there is nothing to check; give --min-agreement X or --min-recovery X, here or in the table [check] of --config"
        )
    for name, threshold in thresholds.items():
        if name not in FIGURES:
            raise unknown("key in [check]:", name, FIGURES)
        if name == "min_agreement" and not 0 <= threshold <= 1:
            raise UsageError(f"--min-agreement {threshold:g} is not from 0 to 1; write 0.95 for 95 %")
    return [
        Checked(name, thresholds[name], figure(report), _missing(name, report))
        for name, figure in FIGURES.items()
        if name in thresholds
    ]


def _missing(name: str, report: Mapping[str, Any]) -> str:
    return recovery_note(report) if name == "min_recovery" else "no held-out query has a usable answer of the teacher"
