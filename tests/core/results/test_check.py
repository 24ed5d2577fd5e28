from dataclasses import replace

import pytest

from pdistill.core.errors import UsageError
from pdistill.core.numerics.estimates import Estimate, Recovery
from pdistill.core.probes.leakage import Leakage
from pdistill.core.results.check import check
from pdistill.core.results.metrics import ArmMetrics
from pdistill.core.results.report import Report
from pdistill.core.results.verdict import Verdict
from tests.core.results.stored import stored_report


def report(recovery: float | None = 0.9) -> Report:
    stored = stored_report()
    student = ArmMetrics(Estimate(500, 0.96, 0.93, 0.98), Estimate(500, 0.9, 0.87, 0.92), {})
    arms = replace(stored.arms, student=student)
    return replace(stored, arms=arms, recovery=Recovery(0.97, recovery, 1.0), recovery_in="accuracy")


def test_the_lower_bound_counts() -> None:
    (found,) = check(report(), {"min_agreement": 0.95})
    assert not found.passed
    assert found.line == "agreement 0.960 (0.930 to 0.980): its lower bound 0.930 is below 0.95"
    (found,) = check(report(), {"min_agreement": 0.93})
    assert found.passed


def test_a_figure_without_an_interval_does_not_pass() -> None:
    found = check(report(recovery=None), {"min_recovery": 0.1, "min_agreement": 0.5})
    assert [(each.metric, each.passed) for each in found] == [("agreement", True), ("recovery", False)]
    assert "recovery 0.970 can't be compared with 0.1: no interval" in found[1].line
    assert "it needs at least 200 queries" in found[1].line


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ({"min_agrement": 0.9}, "unknown key in .check.: 'min_agrement', did you mean 'min_agreement'"),
        ({"min_agreement": 95.0}, "--min-agreement 95 is not from 0 to 1; write 0.95 for 95%"),
    ],
)
def test_meaningless_thresholds_are_refused(thresholds: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check(report(), thresholds)


def test_accuracy_is_checked_like_agreement_and_needs_references() -> None:
    assert [each.passed for each in check(report(), {"min_accuracy": 0.87})] == [True]
    (found,) = check(report(), {"min_accuracy": 0.9})
    assert (found.passed, found.flag) == (False, "--min-accuracy")
    stored = stored_report()
    without = replace(stored, arms=replace(stored.arms, student=ArmMetrics(Estimate(50, 0.9, 0.8, 0.95), None, {})))
    (found,) = check(without, {"min_accuracy": 0.5})
    assert found.line == "accuracy without a value can't be compared with 0.5: no held-out query has a reference"


def test_an_alarm_fails_the_check_and_so_does_a_run_without_probes() -> None:
    quiet = report()
    assert quiet.probes is not None
    assert isinstance(quiet.probes.leakage, Leakage)
    (found,) = check(quiet, {"no_alarms": True})
    assert (found.passed, found.line) == (True, "no alarms met: no probe raises one")
    alarming = replace(quiet, probes=replace(quiet.probes, leakage=replace(quiet.probes.leakage, alarm=True)))
    (found,) = check(alarming, {"no_alarms": True})
    assert (found.passed, found.line) == (False, "no alarms not met: leakage")
    (found,) = check(replace(quiet, probes=None), {"no_alarms": True})
    assert not found.passed
    assert check(quiet, {"no_alarms": False, "min_agreement": 0.9})[0].name == "min_agreement"


def test_without_thresholds_the_verdict_is_checked() -> None:
    (found,) = check(replace(report(), verdict=Verdict("ship", "all is well", "export it")), {})
    assert (found.passed, found.line) == (True, "verdict ship: all is well")
    (found,) = check(replace(report(), verdict=Verdict("can't tell", "few queries", "use more")), {})
    assert not found.passed
    (found,) = check(report(), {})
    assert (found.passed, "earlier version" in found.line) == (False, True)
