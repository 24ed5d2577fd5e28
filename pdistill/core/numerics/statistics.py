"""Shares, differences and recovery, each with its 95 % interval."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Figure = dict[str, Any]
Statistic = Callable[..., Any]
"""A figure of the means of several samples, each an array (resamples,)."""

CONFIDENCE = 0.95
RESAMPLES = 2_000
DRAWN = 1_000_000
"""Counts that a bootstrap draws at once."""
LEAST_N = 200
LEAST_GAP = 0.2
SUSPICIOUS = 0.05
LESS, MORE = 0.15, 0.85
"""Scores of the two queries that every bootstrap adds, one each way.

A bootstrap of few distinct values is too narrow: where the student errs on no query it has no width at all. Bonett and
Price (2012) add one whole query each way to paired shares; benchmarks/interval_coverage.py shows that less is enough.
"""


def share(values: Sequence[float]) -> Figure:
    """Return n, the mean of values from 0 to 1, and its 95 % interval.

    The interval is Wilson's (1927) where all values are 0 or 1, else the percentile bootstrap's over the values and two
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
    """Return the mean of all values, and its 95 % interval: the percentile bootstrap's over the groups that they stand in.

    `n` counts the groups; with fewer than two there is no interval.
    """
    sums, sizes = [sum(group) for group in groups], [float(len(group)) for group in groups]
    if len(groups) < 2:
        return _figure(sum(sums) / sum(sizes), None, None, len(groups)) if sums else _figure(None, None, None, 0)
    bounds = _bootstrap([sums, sizes], lambda total, size: total / size)
    return _figure(sum(sums) / sum(sizes), *bounds, len(groups))


def difference(one: Sequence[float], other: Sequence[float]) -> Figure:
    """Return n, the mean of `one` minus that of `other`, both scores of the same queries, and its 95 % interval.

    The interval is the paired percentile bootstrap's over queries (Efron and Tibshirani 1993, chapter 13) and two more,
    one where each is better, by MORE against LESS.
    """
    if not one:
        return {"n": 0, "value": None, "low": None, "high": None}

    n, samples = len(one), [[*one, LESS, MORE], [*other, MORE, LESS]]
    return _figure((sum(one) - sum(other)) / n, *_bootstrap(samples, lambda ones, others: ones - others), n)


def recovery(student: Sequence[float], base: Sequence[float], teacher: Sequence[float]) -> Figure:
    """Return (student - base) / (teacher - base) of the mean scores of the same queries, with its 95 % interval.

    The interval is the percentile bootstrap's over queries, the same queries drawn for all three, and two more, one
    where the student is better than the teacher and one where it is worse. The value is None where the teacher is no
    better than the base; the interval is None below 200 queries or a gap of 0.2, where it does not hold what it promises
    (benchmarks/interval_coverage.py).
    """
    nothing = {"value": None, "low": None, "high": None}
    if not student:
        return nothing
    n = len(student)
    gap = (sum(teacher) - sum(base)) / n
    if gap <= 0:
        return nothing
    value = (sum(student) - sum(base)) / n / gap
    if n < LEAST_N or gap < LEAST_GAP:
        return _figure(value, None, None)

    samples = [[*student, LESS, MORE], [*base, 0.5, 0.5], [*teacher, MORE, LESS]]
    return _figure(value, *_bootstrap(samples, lambda student, base, teacher: (student - base) / (teacher - base)))


def worse_slices(scores: Sequence[float], slices: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """Return the slices that are worse than all other queries by more than chance, each with its corrected p-value.

    A query counts as right where its score is 1. Fisher's exact test, one-sided, for every slice; corrected for the
    number of slices, which may overlap, by Benjamini and Yekutieli (2001).
    """
    from scipy.stats import fisher_exact

    right = [score == 1 for score in scores]
    tables = {}
    for name, places in slices.items():
        inside = sum(right[place] for place in places)
        outside = sum(right) - inside
        tables[name] = [[inside, len(places) - inside], [outside, len(right) - len(places) - outside]]
    chances = {name: float(fisher_exact(table, alternative="less").pvalue) for name, table in tables.items()}
    return {name: chance for name, chance in _corrected(chances).items() if chance < SUSPICIOUS}


def moved_slices(
    one: Sequence[float | None], other: Sequence[float | None], slices: Mapping[str, Sequence[int]]
) -> dict[str, float]:
    """Return for each slice the corrected p-value of a change in how many queries are right.

    A query counts as right where its score is 1; one without a score in either counts for nothing. McNemar's exact test,
    two-sided, corrected for the number of slices by Benjamini and Yekutieli (2001).
    """
    from scipy.stats import binomtest

    chances = {}
    for name, places in slices.items():
        pairs = [(one[place] == 1, other[place] == 1) for place in places if None not in (one[place], other[place])]
        better, worse = pairs.count((False, True)), pairs.count((True, False))
        chances[name] = float(binomtest(better, better + worse).pvalue) if better + worse else 1.0
    return _corrected(chances)


def _corrected(chances: Mapping[str, float]) -> dict[str, float]:
    from scipy.stats import false_discovery_control

    if not chances:
        return {}
    corrected = false_discovery_control(list(chances.values()), method="by")
    return {name: round(float(chance), 6) for name, chance in zip(chances, corrected, strict=True)}


def _bootstrap(samples: Sequence[Sequence[float]], statistic: Statistic) -> tuple[float, float]:
    """Return the percentile interval of a statistic of means; how often each distinct row is drawn is multinomial."""
    import numpy as np

    rows, counts = np.unique(np.array(samples, dtype=float).T, axis=0, return_counts=True)
    n, drawn = counts.sum(), np.random.default_rng(0)
    size = max(1, DRAWN // len(rows))
    parts = [min(size, RESAMPLES - start) for start in range(0, RESAMPLES, size)]
    means = np.concatenate([drawn.multinomial(n, counts / n, size=part) @ rows / n for part in parts])
    low, high = np.quantile(statistic(*means.T), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _figure(value: float | None, low: float | None, high: float | None, n: int | None = None) -> Figure:
    bounds = (None if bound is None else round(bound, 6) for bound in (value, low, high))
    return {**({} if n is None else {"n": n}), **dict(zip(("value", "low", "high"), bounds, strict=True))}
