import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdistill.core.probes.retention import divergence

SIZE, NAMED = 40, 8


def drawn(seed: int, sharpness: float) -> list[float]:
    """Return the log-probabilities of SIZE tokens."""
    chance = random.Random(seed)
    logits = [chance.gauss(0, sharpness) for _ in range(SIZE)]
    total = math.log(sum(map(math.exp, logits)))
    return [logit - total for logit in logits]


def likeliest(logprobs: list[float], count: int) -> dict[int, float]:
    ranked = sorted(range(len(logprobs)), key=lambda token: -logprobs[token])
    return {token: logprobs[token] for token in ranked[:count]}


def exact(base: list[float], student: list[float]) -> float:
    return sum(math.exp(one) * (one - other) for one, other in zip(base, student, strict=True))


@settings(deadline=None)
@given(st.integers(0, 999), st.floats(0.1, 6), st.floats(0.1, 6))
def test_it_is_never_more_than_the_divergence_of_all_tokens(seed: int, one: float, other: float) -> None:
    base, student = drawn(seed, one), drawn(seed + 1000, other)
    assert divergence(likeliest(base, NAMED), likeliest(student, NAMED)) <= exact(base, student) + 1e-4
    everything = divergence(likeliest(base, SIZE), likeliest(student, SIZE))
    assert everything == pytest.approx(exact(base, student), abs=1e-4)


@settings(deadline=None)
@given(st.integers(0, 999), st.floats(3, 6))
def test_nearly_all_of_it_is_seen_where_both_are_sure_and_alike(seed: int, sharpness: float) -> None:
    base, noise = drawn(seed, sharpness), random.Random(seed)
    moved = [logprob + noise.gauss(0, 0.3) for logprob in base]
    total = math.log(sum(map(math.exp, moved)))
    student = [logprob - total for logprob in moved]
    found = divergence(likeliest(base, NAMED), likeliest(student, NAMED))
    assert found == pytest.approx(exact(base, student), abs=0.01)


def test_divergence_of_a_model_from_itself_is_zero() -> None:
    base = likeliest(drawn(0, 2), NAMED)
    assert divergence(base, base) == pytest.approx(0, abs=1e-9)


def test_divergence_of_a_different_model_is_large() -> None:
    sure = math.log(0.97)
    assert divergence({1: sure, 2: math.log(0.02)}, {8: sure, 9: math.log(0.02)}) > 3
