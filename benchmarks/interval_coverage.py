"""Simulates the coverage of the report's 95% intervals: how often they contain the true value.

    python benchmarks/interval_coverage.py [--draws 10000] [--resamples 2000]

Proportions use the function of the report itself. For the bootstrapped metrics the bootstrap resamples
the distinct rows of scores, with a multinomial of their counts: the same distribution as resampling queries, in a
fraction of the time (tests/core/test_statistics.py compares the two).
"""

import argparse
from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import product
from typing import Any

import numpy as np

from pdistill.core.numerics.statistics import LESS, MIN_GAP, MIN_N, MORE, RESAMPLES, share

Array = np.ndarray[Any, np.dtype[np.float64]]
Coverage = Callable[[int, Array, Any], float]
SIZES = (20, 50, 200, 2_000)
BOUNDS = (0.025, 0.975)

# the distinct rows of scores; the last two are those that every bootstrap adds
FIELDS = np.array([0, 0.25, 0.5, 0.75, 1, LESS, MORE])
PAIRS = np.array([*product((0, 1), repeat=2), (LESS, MORE), (MORE, LESS)])
TRIPLES = np.array([*product((0, 1), repeat=3), (LESS, 0.5, MORE), (MORE, 0.5, LESS)])


def main() -> None:
    """Print a line for every metric and every n."""
    parser = argparse.ArgumentParser(description="simulate the coverage of the report's intervals")
    parser.add_argument("--draws", type=int, default=10_000)
    parser.add_argument("--resamples", type=int, default=RESAMPLES)
    given = parser.parse_args()
    draws = given.draws
    coverage = partial(held, draws=draws, resamples=given.resamples)
    print(f"{draws:,} draws per cell, {given.resamples:,} resamples")
    for n in SIZES:
        show("fraction of right answers", n, shares(n, draws))
    for n in (MIN_N, 500, 2_000):
        show("recovery", n, recoveries(n, coverage))
    for n in SIZES:
        show("difference of two arms", n, differences(n, coverage))
    for n in SIZES:
        show("mean of scores in quarters", n, quarters(n, coverage))
    show("recovery, too few queries and left out", 50, recoveries(50, coverage))
    show("recovery, too small a gap and left out", MIN_N, recoveries(MIN_N, coverage, gaps=(0.05, 0.1)))


def show(what: str, n: int, cells: Iterator[tuple[str, float]]) -> None:
    """Print the mean coverage over the cells, and the worst one."""
    found = list(cells)
    worst, least = min(found, key=lambda cell: cell[1])
    mean = sum(coverage for _, coverage in found) / len(found)
    print(f"{what}, n {n:,}: mean {mean:.4f} over {len(found)} cells, worst {least:.4f} at {worst}", flush=True)


def shares(n: int, draws: int) -> Iterator[tuple[str, float]]:
    """Yield the coverage of Wilson's interval for p from 0.01 to 0.99."""
    random = np.random.default_rng(0)

    @cache
    def interval(right: int) -> tuple[float, float]:
        found = share([1.0] * right + [0.0] * (n - right))
        assert found.low is not None
        assert found.high is not None
        return found.low, found.high

    for p in np.arange(0.01, 0.995, 0.01):
        found = [interval(int(right)) for right in random.binomial(n, p, draws)]
        yield f"p {p:.2f}", float(np.mean([low <= p <= high for low, high in found]))


def quarters(n: int, coverage: Coverage) -> Iterator[tuple[str, float]]:
    """Yield the coverage for scores that are the fraction of four fields, each right with probability p."""
    for p, alike in product((0.5, 0.7, 0.9, 0.97), (0.0, 0.7)):
        shape = np.array([1, 4, 6, 4, 1]) * p ** np.arange(5) * (1 - p) ** np.arange(4, -1, -1)
        chances = (1 - alike) * shape + alike * np.array([1 - p, 0, 0, 0, p])
        yield f"p {p}, alike {alike}", coverage(n, chances, lambda c: c @ FIELDS / c.sum(-1))


def differences(n: int, coverage: Coverage) -> Iterator[tuple[str, float]]:
    """Yield the coverage for two arms that are right with p and q, more or less on the same queries."""
    for (p, q), tie in product([(0.5, 0.5), (0.9, 0.5), (0.95, 0.9), (0.97, 0.05), (0.99, 0.95)], (0.0, 0.8)):
        both = (1 - tie) * p * q + tie * min(p, q)
        chances = np.array([1 - p - q + both, q - both, p - both, both])
        yield f"p {p}, q {q}, tie {tie}", coverage(n, chances, lambda c: c @ (PAIRS @ [1, -1]) / c.sum(-1))


def recoveries(
    n: int, coverage: Coverage, gaps: tuple[float, ...] = (MIN_GAP, 0.4, 0.7)
) -> Iterator[tuple[str, float]]:
    """Yield the coverage for a student that gives the teacher's answer with probability `copies`, else the base's."""
    for teacher, gap, copies in product((0.75, 0.95, 1.0), gaps, (0.5, 0.9, 0.98)):
        if gap > teacher:
            continue
        chances = np.array([_triple(triple, teacher, teacher - gap, copies) for triple in TRIPLES[:8]])
        yield f"teacher {teacher}, gap {gap}, copies {copies}", coverage(n, chances, _recovery)


def _triple(triple: Array, teacher: float, base: float, copies: float) -> float:
    s, b, t = triple
    chance = (teacher if t else 1 - teacher) * (base if b else 1 - base)
    return float(chance * (copies * (s == t) + (1 - copies) * (s == b)))


def _recovery(counts: Array) -> Array:
    students, bases, teachers = (counts @ TRIPLES[:, at] for at in range(3))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((students - bases) / (teachers - bases))


def held(n: int, chances: Array, statistic: Any, *, draws: int, resamples: int) -> float:
    """Return the fraction of draws whose interval contains the true value; equal draws share one bootstrap.

    Args:
        chances: probability of each distinct row of scores, without the two that every bootstrap adds, (K,).
        statistic: the metric, from counts (..., K + 2).
    """
    random = np.random.default_rng(0)
    true, count = statistic(np.append(chances, [0, 0])), 0
    for counts, times in zip(
        *np.unique(random.multinomial(n, chances, size=draws), axis=0, return_counts=True), strict=True
    ):
        whole = np.append(counts, [1, 1])
        resampled = statistic(random.multinomial(whole.sum(), whole / whole.sum(), size=resamples))
        low, high = np.nanquantile(resampled, BOUNDS)
        count += int(times) * (low - 1e-9 <= true <= high + 1e-9)
    return float(count / draws)


if __name__ == "__main__":
    main()
