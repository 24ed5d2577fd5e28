import random

import numpy as np
import pytest

from pdistill.core.numerics.estimates import Estimate, Recovery
from pdistill.core.numerics.statistics import difference, moved_slices, recovery, share, worse_slices


def numbers(estimate: Estimate | Recovery) -> tuple[float, float, float]:
    """Return the lower bound, the value and the upper bound of an estimate that has them."""
    low, value, high = estimate.low, estimate.value, estimate.high
    assert low is not None
    assert value is not None
    assert high is not None
    return low, value, high


def test_wilson_interval_of_a_published_example() -> None:
    # Newcombe (1998), Statistics in Medicine 17, table I: 81 of 263 by the score method without continuity correction
    estimate = share([1.0] * 81 + [0.0] * 182)
    assert estimate.n == 263
    assert estimate.value == pytest.approx(81 / 263, abs=1e-6)
    assert numbers(estimate) == pytest.approx((0.2553, 81 / 263, 0.3662), abs=1e-4)


def test_all_right_has_a_lower_bound_below_one() -> None:
    estimate = share([1.0] * 20)
    low, value, high = numbers(estimate)
    assert (value, high) == (1.0, 1.0)
    assert 0.8 < low < 0.9


def test_nothing_has_no_value() -> None:
    assert share([]) == Estimate(0, None, None, None)


def test_scores_between_0_and_1_have_a_bootstrap_interval() -> None:
    estimate = share([0.25, 0.5, 0.75, 1.0] * 50)
    low, value, high = numbers(estimate)
    assert low < value == 0.625 < high


def draws(n: int, p: float, seed: int) -> list[float]:
    chance = random.Random(seed)
    return [float(chance.random() < p) for _ in range(n)]


def test_recovery_is_the_fraction_of_the_gap_that_was_closed() -> None:
    student, base, teacher = [1.0] * 150 + [0.0] * 50, [0.0] * 200, [1.0] * 200
    estimate = recovery(student, base, teacher)
    low, value, high = numbers(estimate)
    assert low < value == 0.75 < high


def test_recovery_is_undefined_where_the_teacher_is_no_better() -> None:
    same = draws(300, 0.5, 1)
    assert recovery(same, same, same) == Recovery(None, None, None)


@pytest.mark.parametrize(("n", "gap"), [(100, 0.9), (400, 0.1)])
def test_recovery_has_no_interval_where_it_would_not_hold(n: int, gap: float) -> None:
    teacher = [1.0] * n
    base = [0.0] * round(n * gap) + [1.0] * (n - round(n * gap))
    estimate = recovery(teacher, base, teacher)
    assert estimate == Recovery(1.0, None, None)


def test_a_student_that_errs_nowhere_has_an_interval_with_a_width() -> None:
    base, teacher = [0.0] * 150 + [1.0] * 50, [1.0] * 200
    estimate = recovery(teacher, base, teacher)
    low, value, high = numbers(estimate)
    assert 0.97 < low < value == 1 < high < 1.03
    same = difference(teacher, teacher)
    low, value, high = numbers(same)
    assert same.n == 200
    assert low < value == 0 < high


def test_the_interval_of_recovery_is_that_of_the_delta_method() -> None:
    student, base, teacher = draws(300, 0.85, 1), draws(300, 0.3, 2), draws(300, 0.9, 3)
    estimate = recovery(student, base, teacher)
    gained, gap = np.subtract(student, base), np.subtract(teacher, base)
    ratio = gained.mean() / gap.mean()
    error = 1.96 * np.std(gained - ratio * gap) / gap.mean() / np.sqrt(300)
    low, value, high = numbers(estimate)
    assert value == pytest.approx(ratio, abs=1e-6)
    assert (low, high) == pytest.approx((ratio - error, ratio + error), abs=0.015)


def test_recovery_draws_the_same_queries_for_all_three() -> None:
    base, teacher = [0.0] * 150 + [1.0] * 50, [1.0] * 150 + [0.0] * 50
    low, _, high = numbers(recovery(teacher, base, teacher))
    assert high - low < 0.05  # drawn apart, the two sides of the ratio would differ by chance
    other = teacher[100:] + teacher[:100]
    low, _, high = numbers(recovery(other, base, teacher))
    assert high - low > 0.2


def test_the_interval_of_recovery_covers_the_truth_in_most_samples() -> None:
    truth = (0.8 - 0.3) / (0.9 - 0.3)
    covered = 0
    for seed in range(100):
        columns = [draws(300, p, 3 * seed + at) for at, p in enumerate((0.8, 0.3, 0.9))]
        low, _, high = numbers(recovery(*columns))
        covered += low <= truth <= high
    assert 89 <= covered <= 99


def test_a_difference_is_paired() -> None:
    one = draws(400, 0.5, 4)
    other = [value if place % 20 else 1 - value for place, value in enumerate(one)]
    paired, apart = difference(one, other), difference(one, draws(400, 0.5, 6))
    assert paired.value == pytest.approx((sum(one) - sum(other)) / 400, abs=1e-6)
    widths = [high - low for low, _, high in map(numbers, (paired, apart))]
    assert widths[0] < 0.06 < 0.11 < widths[1]


def test_a_slice_is_worse_only_where_chance_does_not_explain_it() -> None:
    scores = [1.0] * 180 + [0.0] * 15 + [1.0] * 5
    slices = {"bad": list(range(180, 200)), "unlucky": [0, 1, 180], "all": list(range(200))}
    found = worse_slices(scores, slices)
    assert list(found) == ["bad"]
    assert found["bad"] < 0.001
    assert worse_slices(scores, {}) == {}


def test_a_slice_has_moved_only_where_chance_does_not_explain_it() -> None:
    before: list[float | None] = [1.0] * 200
    after: list[float | None] = [0.0] * 12 + [None] * 3 + [1.0] * 184 + [0.0]
    slices = {"bad": list(range(20)), "unlucky": list(range(180, 200)), "none": [5], "empty": [12]}
    found = moved_slices(before, after, slices)
    assert found["bad"] < 0.01
    assert found["unlucky"] == found["empty"] == 1
    # McNemar's exact test of 12 against 0, times 4 slices and 1 + 1/2 + 1/3 + 1/4
    assert found["bad"] == pytest.approx(2 * 0.5**12 * 4 * 25 / 12, abs=1e-6)
    assert moved_slices(before, after, {}) == {}
