"""Means, differences and recovery, each with its 95% interval."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from pdistill.core.numerics.estimates import Estimate, Recovery

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples: TypeAlias = NDArray[np.float64]
    Statistic: TypeAlias = Callable[..., Samples]
    """A function of the means of several samples, each an array (resamples,)."""

CONFIDENCE = 0.95
RESAMPLES = 2_000
COUNTS_AT_ONCE = 1_000_000
"""Counts that a bootstrap draws at once."""
MIN_N, MIN_GAP = 200, 0.2
"""Queries, and distance from base to teacher, below which recovery has no interval."""
SIGNIFICANCE = 0.05
"""The p-value below which a result is called statistically significant."""
LESS, MORE = 0.15, 0.85
"""Scores of the two pseudo-observations that every bootstrap adds, one in each direction.

The bootstrap of a few distinct values undercovers: with no errors at all its interval has zero width. Bonett and Price
(2012) add one whole observation in each direction to paired proportions; benchmarks/interval_coverage.py shows that less
is enough.
"""
UNDEFINED = Estimate(0, None, None, None)


def share(values: Sequence[float]) -> Estimate:
    """Return the mean of values from 0 to 1 with its 95% interval.

    The interval is Wilson's (1927) if all values are 0 or 1, else the percentile bootstrap over the values and two more,
    LESS and MORE.
    """
    if not values:
        return UNDEFINED
    mean = sum(values) / len(values)
    if all(value in (0, 1) for value in values):
        from scipy.stats import binomtest

        interval = binomtest(round(sum(values)), len(values)).proportion_ci(CONFIDENCE, method="wilson")
        return Estimate(len(values), *_rounded(mean, float(interval.low), float(interval.high)))
    return Estimate(len(values), *_rounded(mean, *_bootstrap([[*values, LESS, MORE]], lambda mean: mean)))


def mean(groups: Sequence[Sequence[float]]) -> Estimate:
    """Return the mean of all values with its 95% interval, the percentile bootstrap over groups; `n` counts the groups.

    With fewer than two groups there is no interval.
    """
    if not groups:
        return UNDEFINED
    n, sums, sizes = len(groups), [sum(group) for group in groups], [float(len(group)) for group in groups]
    value = sum(sums) / sum(sizes)
    bounds = (None, None) if n < 2 else _bootstrap([sums, sizes], lambda total, size: total / size)
    return Estimate(n, *_rounded(value, *bounds))


def difference(one: Sequence[float], other: Sequence[float]) -> Estimate:
    """Return the mean of `one` minus that of `other`, both scores of the same queries, with its 95% interval.

    The interval is the paired percentile bootstrap over queries (Efron and Tibshirani 1993, chapter 13) and two
    pseudo-observations, in each of which one of the two is better, by MORE against LESS.
    """
    if not one:
        return UNDEFINED
    n, samples = len(one), [[*one, LESS, MORE], [*other, MORE, LESS]]
    bounds = _bootstrap(samples, lambda ones, others: ones - others)
    return Estimate(n, *_rounded((sum(one) - sum(other)) / n, *bounds))


def recovery(student: Sequence[float], base: Sequence[float], teacher: Sequence[float]) -> Recovery:
    """Return (student - base) / (teacher - base) of the mean scores on the same queries, with its 95% interval.

    The interval is the percentile bootstrap over queries, with the same queries drawn for all three, and two
    pseudo-observations: the student is better than the teacher in one and worse in the other. The value is None if the
    teacher is no better than the base; the interval is None below MIN_N queries or a gap of MIN_GAP, where its
    coverage is poor (benchmarks/interval_coverage.py).
    """
    n = len(student)
    gap = (sum(teacher) - sum(base)) / n if n else 0.0
    if gap <= 0:
        return Recovery(None, None, None)
    value = (sum(student) - sum(base)) / n / gap
    if n < MIN_N or gap < MIN_GAP:
        return Recovery(*_rounded(value, None, None))
    samples = [[*student, LESS, MORE], [*base, 0.5, 0.5], [*teacher, MORE, LESS]]
    bounds = _bootstrap(samples, lambda student, base, teacher: (student - base) / (teacher - base))
    return Recovery(*_rounded(value, *bounds))


def needed(value: float, threshold: float) -> int | None:
    """Return from how many queries on Wilson's interval around a share of `value` lies above the threshold; None if never.

    Wilson's interval inverts the score test, so its lower bound reaches p where (value - p) / sqrt(p (1 - p) / n) is z.
    """
    from scipy.stats import norm

    if value <= threshold:
        return None
    z = float(norm.ppf((1 + CONFIDENCE) / 2))
    return math.ceil(z * z * threshold * (1 - threshold) / (value - threshold) ** 2)


def worse_slices(scores: Sequence[float], slices: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """Return the slices that are significantly worse than all other queries, each with its corrected p-value.

    A query counts as right if its score is 1. One-sided Fisher's exact test for every slice, corrected for the number of
    slices, which may overlap, by Benjamini and Yekutieli (2001).
    """
    from scipy.stats import fisher_exact

    right = [score == 1 for score in scores]
    tables = {}
    for name, places in slices.items():
        inside = sum(right[place] for place in places)
        outside = sum(right) - inside
        tables[name] = [[inside, len(places) - inside], [outside, len(right) - len(places) - outside]]
    p_values = {name: float(fisher_exact(table, alternative="less").pvalue) for name, table in tables.items()}
    return {name: p for name, p in _corrected(p_values).items() if p < SIGNIFICANCE}


def moved_slices(
    one: Sequence[float | None], other: Sequence[float | None], slices: Mapping[str, Sequence[int]]
) -> dict[str, float]:
    """Return for each slice the corrected p-value of a change in the number of queries that are right.

    A query counts as right if its score is 1, and is left out if either run has no score. Two-sided exact McNemar test,
    corrected for the number of slices by Benjamini and Yekutieli (2001).
    """
    from scipy.stats import binomtest

    p_values = {}
    for name, places in slices.items():
        pairs = [(one[place] == 1, other[place] == 1) for place in places if None not in (one[place], other[place])]
        better, worse = pairs.count((False, True)), pairs.count((True, False))
        p_values[name] = float(binomtest(better, better + worse).pvalue) if better + worse else 1.0
    return _corrected(p_values)


def _corrected(p_values: Mapping[str, float]) -> dict[str, float]:
    from scipy.stats import false_discovery_control

    if not p_values:
        return {}
    corrected = false_discovery_control(list(p_values.values()), method="by")
    return {name: round(float(p), 6) for name, p in zip(p_values, corrected, strict=True)}


def _bootstrap(samples: Sequence[Sequence[float]], statistic: "Statistic") -> tuple[float, float]:
    """Return the percentile interval of a statistic of means; the counts of the distinct rows are multinomial."""
    import numpy as np

    rows, counts = np.unique(np.array(samples, dtype=float).T, axis=0, return_counts=True)
    n, drawn = counts.sum(), np.random.default_rng(0)
    size = max(1, COUNTS_AT_ONCE // len(rows))
    parts = [min(size, RESAMPLES - start) for start in range(0, RESAMPLES, size)]
    means = np.concatenate([drawn.multinomial(n, counts / n, size=part) @ rows / n for part in parts])
    low, high = np.quantile(statistic(*means.T), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _rounded(*numbers: float | None) -> list[float | None]:
    return [None if number is None else round(number, 6) for number in numbers]
