"""Buckets hold their counts, are few, and not much larger."""

from hypothesis import given
from hypothesis import strategies as st

from pdistill.backends.local.kernels.buckets import round_up_to_bucket


@given(count=st.integers(1, 100_000), per_doubling=st.sampled_from([1, 4, 8]))
def test_a_size_holds_its_count_and_is_at_most_a_part_larger(count: int, per_doubling: int) -> None:
    assert count <= round_up_to_bucket(count, per_doubling) <= count * (1 + 1 / per_doubling)
    assert round_up_to_bucket(round_up_to_bucket(count, per_doubling), per_doubling) == round_up_to_bucket(
        count, per_doubling
    )


def test_sizes_are_few() -> None:
    upward = [*range(1, 9), 10, 12, 14, 16, 20, 24, 28, 32]
    assert sorted({round_up_to_bucket(count, 4) for count in range(1, 33)}) == upward
    assert len({round_up_to_bucket(count, 4) for count in range(513, 1025)}) == 4
