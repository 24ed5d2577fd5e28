"""The engine's attention, plain matrix products on a GPU, against float64; partial results merge into the whole."""

import pytest
import torch

from tests.gpu.internals import attend, attend_by_matmul, merge

SCALE = 0.3
MAX_ERROR = {"float32": 1e-5, "bfloat16": 0.03, "float16": 4e-3}
"""Largest error: of outputs as a fraction of the largest output, of log-sum-exps in nats."""

pytestmark = pytest.mark.parametrize("dtype", MAX_ERROR)


def states(device: str, dtype: str, queries: int, keys: int) -> list[torch.Tensor]:
    """Queries (2, 6, N, 16), keys and values (2, 3, T, 16), the same on every device."""
    generator = torch.Generator().manual_seed(queries + keys)
    shapes = ((2, 6, queries, 16), (2, 3, keys, 16), (2, 3, keys, 16))
    return [torch.randn(shape, generator=generator).to(device, getattr(torch, dtype)) for shape in shapes]


def exact(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, visible: torch.Tensor | None, softcap: float | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Outputs and log-sum-exps in float64."""
    query, key, value = query.double(), key.double().repeat_interleave(2, 1), value.double().repeat_interleave(2, 1)
    scores = query @ key.transpose(-1, -2) * SCALE
    if softcap is not None:
        scores = (scores / softcap).tanh() * softcap
    if visible is not None:
        scores = scores.masked_fill(~visible, -torch.inf)
    return scores.softmax(-1) @ value, scores.logsumexp(-1)


def assert_close(actual: torch.Tensor, expected: torch.Tensor, max_error: float) -> None:
    assert (actual.double() - expected).abs().max() <= max_error * expected.abs().max().clamp(min=1)


@pytest.mark.parametrize("kind", ["all", "causal", "visible", "softcap"])
def test_outputs_and_log_sum_exps_are_those_of_float64(device: str, dtype: str, kind: str) -> None:
    query, key, value = states(device, dtype, 70, 70)
    visible = torch.rand(70, 70, generator=torch.Generator().manual_seed(1)).to(device) < 0.5
    visible[:, 2] = True
    if kind == "causal":
        visible = torch.ones_like(visible).tril()
    softcap = 0.5 if kind == "softcap" else None
    actual = attend(
        query, key, value, SCALE, visible if kind == "visible" else None, causal=kind == "causal", softcap=softcap
    )
    expected = exact(query, key, value, visible if kind in ("causal", "visible") else None, softcap)
    assert actual[0].dtype == query.dtype
    for one, other in zip(actual, expected, strict=True):
        assert_close(one, other, MAX_ERROR[dtype])


def test_more_scores_than_are_held_at_one_time(device: str, dtype: str) -> None:
    query, key, value = states(device, dtype, 400, 4000)
    assert query[..., 0].numel() * key.shape[2] > 1.1 * (16 << 20)
    for one, other in zip(attend(query, key, value, SCALE), exact(query, key, value, None, None), strict=True):
        assert_close(one, other, MAX_ERROR[dtype])


def test_rows_of_unequal_length_with_a_bias(device: str, dtype: str) -> None:
    query, key, value = states(device, dtype, 1, 90)
    lengths = torch.tensor([33, 90], device=device)
    hidden = torch.arange(90, device=device) >= lengths[:, None]
    bias = torch.zeros(2, 90, device=device).masked_fill(hidden, -torch.inf)[:, None, None, None]
    actual = attend_by_matmul(query, key, value, SCALE, bias)
    expected = exact(query, key, value, ~hidden[:, None, None], None)
    for one, other in zip(actual, expected, strict=True):
        assert_close(one, other, MAX_ERROR[dtype])


def test_parts_merge_into_the_whole_even_where_a_query_sees_nothing_of_one(device: str, dtype: str) -> None:
    query, key, value = states(device, dtype, 50, 90)
    visible = torch.rand(50, 60, generator=torch.Generator().manual_seed(2)).to(device) < 0.5
    visible[1] = False
    first = attend(query, key[:, :, :60], value[:, :, :60], SCALE, visible)
    whole = merge(first, attend(query, key[:, :, 60:], value[:, :, 60:], SCALE))
    seen = torch.cat([visible, torch.ones(50, 30, dtype=torch.bool, device=device)], 1)
    assert whole.dtype == query.dtype
    assert_close(whole, exact(query, key, value, seen, None)[0], MAX_ERROR[dtype])
