"""Shares with their intervals, and recovery with its own."""

from collections.abc import Sequence
from typing import Any

Figure = dict[str, Any]

CONFIDENCE = 0.95
RESAMPLES = 2_000
LEAST_N = 200
LEAST_GAP = 0.2


def share(values: Sequence[float]) -> Figure:
    """Return n, the mean of values from 0 to 1, and its 95 % interval.

    The interval is Wilson's (1927) where all values are 0 or 1, else the percentile bootstrap's over the values.
    """
    if not values:
        return {"n": 0, "value": None, "low": None, "high": None}
    mean = sum(values) / len(values)
    if all(value in (0, 1) for value in values):
        from scipy.stats import binomtest

        interval = binomtest(round(sum(values)), len(values)).proportion_ci(CONFIDENCE, method="wilson")
        return _figure(len(values), mean, float(interval.low), float(interval.high))
    low, high = _bootstrap([values], lambda sample, axis: sample.mean(axis=axis))
    return _figure(len(values), mean, low, high)


def recovery(student: Sequence[float], base: Sequence[float], teacher: Sequence[float]) -> dict[str, float | None]:
    """Return (student - base) / (teacher - base) of the mean scores of the same queries, with its 95 % interval.

    The interval is the percentile bootstrap's over queries (Efron and Tibshirani 1993, chapter 13), the same queries
    drawn for all three. The value is None where the teacher is no better than the base; the interval is None below
    200 queries or a gap of 0.2, where it does not hold what it promises.
    """
    nothing = {"value": None, "low": None, "high": None}
    if not student:
        return dict(nothing)
    n = len(student)
    gap = (sum(teacher) - sum(base)) / n
    if gap <= 0:
        return dict(nothing)
    value = (sum(student) - sum(base)) / n / gap
    if n < LEAST_N or gap < LEAST_GAP:
        return {**nothing, "value": round(value, 6)}

    def statistic(students: Any, bases: Any, teachers: Any, axis: int) -> Any:
        floor = bases.mean(axis=axis)
        return (students.mean(axis=axis) - floor) / (teachers.mean(axis=axis) - floor)

    low, high = _bootstrap([student, base, teacher], statistic)
    return {"value": round(value, 6), "low": low, "high": high}


def _bootstrap(samples: Sequence[Sequence[float]], statistic: Any) -> tuple[float | None, float | None]:
    import numpy as np
    from scipy.stats import bootstrap

    if all(len(set(sample)) == 1 for sample in samples):
        return None, None
    interval = bootstrap(
        [np.asarray(sample, dtype=float) for sample in samples],
        statistic,
        n_resamples=RESAMPLES,
        paired=len(samples) > 1,
        vectorized=True,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),
        batch=100,
    ).confidence_interval
    return round(float(interval.low), 6), round(float(interval.high), 6)


def _figure(n: int, value: float, low: float | None, high: float | None) -> Figure:
    rounded = (None if bound is None else round(bound, 6) for bound in (value, low, high))
    return {"n": n, **dict(zip(("value", "low", "high"), rounded, strict=True))}
