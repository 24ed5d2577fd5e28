"""Whether a run meets thresholds: the lower bounds of its metrics count, not the values."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pdistill.core.errors import UsageError, unknown
from pdistill.core.numerics.estimates import Estimate, Recovery
from pdistill.core.probes.findings import alarms
from pdistill.core.results.markdown import recovery_note
from pdistill.core.results.report import Report
from pdistill.core.setup.configfile import NO_ALARMS

METRICS: Mapping[str, Callable[[Report], Estimate | Recovery | None]] = {
    "min_agreement": lambda report: report.arms["student"].agreement,
    "min_accuracy": lambda report: report.arms["student"].accuracy,
    "min_recovery": lambda report: report.recovery,
}
RATES = ("min_agreement", "min_accuracy")


@dataclass(frozen=True, slots=True)
class Check:
    """One condition, and whether the run meets it.

    Args:
        name: the option's, such as "min_agreement".
        outcome: what was found, in a few words.
        threshold: the least value of the metric's lower bound; None where the condition is not a threshold.
        estimate: the metric; None where there is none.
    """

    name: str
    passed: bool
    outcome: str
    threshold: float | None = None
    estimate: Estimate | Recovery | None = None

    @property
    def metric(self) -> str:
        """The name of what is checked, such as "agreement"."""
        return self.name.removeprefix("min_")

    @property
    def flag(self) -> str:
        """The option's flag."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def line(self) -> str:
        """The outcome, in one line."""
        return f"{self.metric.replace('_', ' ')} {self.outcome}"


def check(report: Report, conditions: Mapping[str, float]) -> list[Check]:
    """Return the check of each condition, in the order of METRICS, and then whether a probe raises an alarm.

    Without conditions it is the verdict of the report that is checked.

    Args:
        conditions: thresholds by name; NO_ALARMS is one that counts if it is not 0.

    Raises:
        UsageError: one is unknown; one of agreement or accuracy is not from 0 to 1.
    """
    for name, threshold in conditions.items():
        if name not in (*METRICS, NO_ALARMS):
            raise unknown("key in [check]:", name, (*METRICS, NO_ALARMS))
        if name in RATES and not 0 <= threshold <= 1:
            raise UsageError(f"--{name.replace('_', '-')} {threshold:g} is not from 0 to 1; write 0.95 for 95%")
    if not conditions:
        return [_verdict(report)]
    thresholds = [
        _threshold(name, conditions[name], metric(report), report)
        for name, metric in METRICS.items()
        if name in conditions
    ]
    return [*thresholds, *([_no_alarms(report)] if conditions.get(NO_ALARMS) else [])]


def _threshold(name: str, threshold: float, estimate: Estimate | Recovery | None, report: Report) -> Check:
    if estimate is None or estimate.value is None or estimate.low is None:
        shown = "without a value" if estimate is None or estimate.value is None else f"{estimate.value:.3f}"
        outcome = f"{shown} can't be compared with {threshold:g}: {_missing(name, report)}"
        return Check(name, False, outcome, threshold, estimate)
    passed = estimate.low >= threshold
    interval = f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"
    outcome = f"{interval}: its lower bound {estimate.low:.3f} {'reaches' if passed else 'is below'} {threshold:g}"
    return Check(name, passed, outcome, threshold, estimate)


def _missing(name: str, report: Report) -> str:
    if name == "min_recovery":
        return recovery_note(report)
    if name == "min_accuracy":
        return "no held-out query has a reference"
    return "no held-out query has a usable answer of the teacher"


def _no_alarms(report: Report) -> Check:
    if report.probes is None:
        return Check(NO_ALARMS, False, "can't be checked: the run has no probes")
    raised = alarms(report.probes)
    found = f"not met: {', '.join(raised)}" if raised else "met: no probe raises one"
    return Check(NO_ALARMS, not raised, found)


def _verdict(report: Report) -> Check:
    found = report.verdict
    if found is None:
        return Check("verdict", False, "is missing: the report was made by an earlier version; give --min-agreement X")
    return Check("verdict", found.state == "ship", f"{found.state}: {found.reason}")
