"""Shares, differences and recovery, each with its 95 % confidence interval."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Figure = dict[str, Any]
Statistic = Callable[..., Any]
"""A statistic of the means of several samples, each an array (resamples,)."""

CONFIDENCE = 0.95
RESAMPLES = 2_000
COUNTS_AT_ONCE = 1_000_000
"""Counts that a bootstrap draws at once."""
MIN_N = 200
MIN_GAP = 0.2
SIGNIFICANCE = 0.05
LESS, MORE = 0.15, 0.85
"""Scores of the two queries that every bootstrap adds, one in each direction.

A bootstrap of few distinct values is too narrow: where the student makes no mistake it has no width at all. Bonett and
Price (2012) add one whole query in each direction to paired shares; benchmarks/interval_coverage.py shows that less is
enough.
"""


def share(values: Sequence[float]) -> Figure:
    """Return n, the mean of values from 0 to 1, and its 95 % confidence interval.

    The interval is Wilson's (1927) where all values are 0 or 1, else a percentile bootstrap over the values and two
    more, LESS and MORE.
    """
    if not values:
        return {"n": 0, "value": None, "low": None, "high": None}
    mean = sum(values) / len(values)
    if all(value in (0, 1) for value in values):
        from scipy.stats import binomtest

        interval = binomtest(round(sum(values)), len(values)).proportion_ci(CONFIDENCE, method="wilson")
        return _figure(mean, float(interval.low), float(interval.high), len(values))
    return _figure(mean, *_bootstrap([[*values, LESS, MORE]], lambda mean: mean), len(values))


def mean(groups: Sequence[Sequence[float]]) -> Figure:
    """Return the mean of all values and its 95 % confidence interval, a percentile bootstrap over their groups.

    `n` counts the groups; with fewer than two there is no interval.
    """
    sums, sizes = [sum(group) for group in groups], [float(len(group)) for group in groups]
    if len(groups) < 2:
        return _figure(sum(sums) / sum(sizes), None, None, len(groups)) if sums else _figure(None, None, None, 0)
    bounds = _bootstrap([sums, sizes], lambda total, size: total / size)
    return _figure(sum(sums) / sum(sizes), *bounds, len(groups))


def difference(one: Sequence[float], other: Sequence[float]) -> Figure:
    """Return n, the mean of `one` minus that of `other`, both scores of the same queries, and its 95 % confidence interval.

    The interval is a paired percentile bootstrap over the queries (Efron and Tibshirani 1993, chapter 13) and two more:
    one where `one` is better, and one where `other` is, with the scores MORE and LESS.
    """
    if not one:
        return {"n": 0, "value": None, "low": None, "high": None}

    n, samples = len(one), [[*one, LESS, MORE], [*other, MORE, LESS]]
    return _figure((sum(one) - sum(other)) / n, *_bootstrap(samples, lambda ones, others: ones - others), n)


def recovery(student: Sequence[float], base: Sequence[float], teacher: Sequence[float]) -> Figure:
    """Return (student - base) / (teacher - base) of the mean scores of the same queries, with its 95 % confidence interval.

    The interval is a percentile bootstrap over queries, with the same queries drawn for all three, and two more: one
    where the student is better than the teacher and one where it is worse. The value is None where the teacher is no
    better than the base; the interval is None below 200 queries or a gap of 0.2, where its coverage is not reliable
    (benchmarks/interval_coverage.py).
    """
    undefined = {"value": None, "low": None, "high": None}
    if not student:
        return undefined
    n = len(student)
    gap = (sum(teacher) - sum(base)) / n
    if gap <= 0:
        return undefined
    value = (sum(student) - sum(base)) / n / gap
    if n < MIN_N or gap < MIN_GAP:
        return _figure(value, None, None)

    samples = [[*student, LESS, MORE], [*base, 0.5, 0.5], [*teacher, MORE, LESS]]
    return _figure(value, *_bootstrap(samples, lambda student, base, teacher: (student - base) / (teacher - base)))


def worse_slices(scores: Sequence[float], slices: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """Return the slices that are significantly worse than all other queries, each with its corrected p-value.

    A query counts as correct where its score is 1. The test is Fisher's exact test, one-sided, for every slice; the
    correction for the number of slices, which may overlap, is by Benjamini and Yekutieli (2001).
    """
    from scipy.stats import fisher_exact

    correct = [score == 1 for score in scores]
    tables = {}
    for name, places in slices.items():
        inside = sum(correct[place] for place in places)
        outside = sum(correct) - inside
        tables[name] = [[inside, len(places) - inside], [outside, len(correct) - len(places) - outside]]
    p_values = {name: float(fisher_exact(table, alternative="less").pvalue) for name, table in tables.items()}
    return {name: p for name, p in _correct_p_values(p_values).items() if p < SIGNIFICANCE}


def moved_slices(
    one: Sequence[float | None], other: Sequence[float | None], slices: Mapping[str, Sequence[int]]
) -> dict[str, float]:
    """Return for each slice the corrected p-value of a change in the number of correct queries.

    A query counts as correct where its score is 1; one without a score in either is ignored. The test is McNemar's exact
    test, two-sided; the correction for the number of slices is by Benjamini and Yekutieli (2001).
    """
    from scipy.stats import binomtest

    p_values = {}
    for name, places in slices.items():
        pairs = [(one[place] == 1, other[place] == 1) for place in places if None not in (one[place], other[place])]
        better, worse = pairs.count((False, True)), pairs.count((True, False))
        p_values[name] = float(binomtest(better, better + worse).pvalue) if better + worse else 1.0
    return _correct_p_values(p_values)


def _correct_p_values(p_values: Mapping[str, float]) -> dict[str, float]:
    from scipy.stats import false_discovery_control

    if not p_values:
        return {}
    corrected = false_discovery_control(list(p_values.values()), method="by")
    return {name: round(float(p), 6) for name, p in zip(p_values, corrected, strict=True)}


def _bootstrap(samples: Sequence[Sequence[float]], statistic: Statistic) -> tuple[float, float]:
    """Return the percentile interval of a statistic of means; the counts of the distinct rows are drawn as multinomial."""
    import numpy as np

    rows, counts = np.unique(np.array(samples, dtype=float).T, axis=0, return_counts=True)
    n, generator = counts.sum(), np.random.default_rng(0)
    size = max(1, COUNTS_AT_ONCE // len(rows))
    parts = [min(size, RESAMPLES - start) for start in range(0, RESAMPLES, size)]
    means = np.concatenate([generator.multinomial(n, counts / n, size=part) @ rows / n for part in parts])
    low, high = np.quantile(statistic(*means.T), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _figure(value: float | None, low: float | None, high: float | None, n: int | None = None) -> Figure:
    bounds = (None if bound is None else round(bound, 6) for bound in (value, low, high))
    return {**({} if n is None else {"n": n}), **dict(zip(("value", "low", "high"), bounds, strict=True))}
