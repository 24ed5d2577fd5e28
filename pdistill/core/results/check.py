"""Whether a run meets thresholds: the lower bounds of its metrics count, not the values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pdistill.core.errors import UsageError, unknown
from pdistill.core.numerics.estimates import Estimate, Recovery
from pdistill.core.results.markdown import recovery_note
from pdistill.core.results.report import Report

METRICS: Mapping[str, Callable[[Report], Estimate | Recovery]] = {
    "min_agreement": lambda report: report.arms["student"].agreement,
    "min_recovery": lambda report: report.recovery,
}


@dataclass(frozen=True, slots=True)
class Check:
    """One threshold, and the metric of the run that it applies to.

    Args:
        name: the threshold's, such as "min_agreement".
        missing: why the metric has no lower bound, if it has none.
    """

    name: str
    threshold: float
    estimate: Estimate | Recovery
    missing: str

    @property
    def passed(self) -> bool:
        """Whether the lower bound of the 95% interval reaches the threshold."""
        return self.estimate.low is not None and self.estimate.low >= self.threshold

    @property
    def metric(self) -> str:
        """The name of the metric, such as "agreement"."""
        return self.name.removeprefix("min_")

    @property
    def line(self) -> str:
        """The outcome, in one line."""
        low, value = self.estimate.low, self.estimate.value
        if low is None:
            shown = "without a value" if value is None else f"{value:.3f}"
            return f"{self.metric} {shown} can't be compared with {self.threshold:g}: {self.missing}"
        interval = f"{value:.3f} ({low:.3f} to {self.estimate.high:.3f})"
        state = "reaches" if self.passed else "is below"
        return f"{self.metric} {interval}: its lower bound {low:.3f} {state} {self.threshold:g}"


def check(report: Report, thresholds: Mapping[str, float]) -> list[Check]:
    """Return the check of each threshold, in the order of METRICS.

    Raises:
        UsageError: there is no threshold; one is unknown; one of agreement is not from 0 to 1.
    """
    if not thresholds:
        raise UsageError(
            "there is nothing to check; give --min-agreement X or --min-recovery X, here or in the table [check] of --config"
        )
    for name, threshold in thresholds.items():
        if name not in METRICS:
            raise unknown("key in [check]:", name, METRICS)
        if name == "min_agreement" and not 0 <= threshold <= 1:
            raise UsageError(f"--min-agreement {threshold:g} is not from 0 to 1; write 0.95 for 95%")
    return [
        Check(name, thresholds[name], metric(report), _missing(name, report))
        for name, metric in METRICS.items()
        if name in thresholds
    ]


def _missing(name: str, report: Report) -> str:
    return recovery_note(report) if name == "min_recovery" else "no held-out query has a usable answer of the teacher"
