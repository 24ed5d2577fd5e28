from dataclasses import replace

import pytest

from pdistill.core.errors import UsageError
from pdistill.core.numerics.estimates import Estimate, Recovery
from pdistill.core.results.check import check
from pdistill.core.results.metrics import ArmMetrics
from pdistill.core.results.report import Report
from tests.core.results.stored import stored_report


def report(recovery: float | None = 0.9) -> Report:
    stored = stored_report()
    student = ArmMetrics(Estimate(500, 0.96, 0.93, 0.98), None, {})
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
        ({}, "there is nothing to check; give --min-agreement X"),
        ({"min_agrement": 0.9}, "unknown key in .check.: 'min_agrement', did you mean 'min_agreement'"),
        ({"min_agreement": 95.0}, "--min-agreement 95 is not from 0 to 1; write 0.95 for 95%"),
    ],
)
def test_meaningless_thresholds_are_refused(thresholds: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check(report(), thresholds)
