"""Attention over parts of the keys, merged, is attention over all of them."""

import pytest
import torch

from pdistill.backends.local.kernels import partial_attention
from pdistill.backends.local.kernels.partial_attention import PartialAttention, attend, attend_by_matmul, merge

SCALE = 0.3


@pytest.fixture(params=["kernel", "onednn", "products"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the kernel of the CPU, by products of oneDNN, and by plain ones, each a few queries at a time."""
    torch.manual_seed(0)
    if request.param == "onednn":
        monkeypatch.setattr(partial_attention, "MIN_ONEDNN_KEYS", 1)
        monkeypatch.setattr(partial_attention, "MAX_CPU_SCORES", 30)
    if request.param == "products":
        monkeypatch.setattr(partial_attention, "_CPU_ATTENTION", None)
        monkeypatch.setattr(partial_attention, "MAX_SCORES", 300)


def states(keys: int, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    """Queries (2, 6, 5, 8), keys and values (2, 3, keys, 8)."""
    return [torch.randn(shape, dtype=dtype) for shape in ((2, 6, 5, 8), (2, 3, keys, 8), (2, 3, keys, 8))]


def expected(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    visible: torch.Tensor | None = None,
    softcap: float | None = None,
) -> PartialAttention:
    scores = query @ key.repeat_interleave(2, 1).transpose(-1, -2) * SCALE
    if softcap is not None:
        scores = (scores / softcap).tanh() * softcap
    if visible is not None:
        scores = scores.masked_fill(~visible, -torch.inf)
    return scores.softmax(-1) @ value.repeat_interleave(2, 1), scores.logsumexp(-1)


def assert_alike(one: PartialAttention, other: PartialAttention) -> None:
    torch.testing.assert_close(one[0], other[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(one[1], other[1], atol=1e-5, rtol=1e-5)


def test_each_query_head_uses_its_groups_keys() -> None:
    query, key, value = states(9)
    assert_alike(attend(query, key, value, SCALE), expected(query, key, value))


def test_only_visible_keys_count() -> None:
    query, key, value = states(9)
    visible = torch.rand(5, 9) < 0.5
    visible[:, 2] = True
    assert_alike(attend(query, key, value, SCALE, visible), expected(query, key, value, visible))


def test_causal() -> None:
    query, key, value = states(5)
    visible = torch.ones(5, 5, dtype=torch.bool).tril()
    assert_alike(attend(query, key, value, SCALE, causal=True), expected(query, key, value, visible))


def test_softcap() -> None:
    query, key, value = states(9)
    assert_alike(attend(query, key, value, SCALE, softcap=0.5), expected(query, key, value, softcap=0.5))


def test_one_bias_per_row() -> None:
    query, key, value = states(9)
    lengths = torch.tensor([3, 9])
    hidden = torch.arange(9) >= lengths[:, None]
    bias = torch.zeros(2, 9).masked_fill(hidden, -torch.inf)[:, None, None, None]
    given = attend_by_matmul(query, key, value, SCALE, bias)
    for row, length in enumerate(lengths):
        one = slice(row, row + 1)
        alone = expected(query[one], key[one, :, :length], value[one, :, :length])
        assert_alike((given[0][one], given[1][one]), alone)


def test_parts_merge_into_the_whole_even_where_one_is_not_seen() -> None:
    query, key, value = states(9)
    visible = torch.rand(5, 6) < 0.5
    visible[1] = False
    parts = (
        attend(query, key[:, :, :6], value[:, :, :6], SCALE, visible),
        attend(query, key[:, :, 6:], value[:, :, 6:], SCALE),
    )
    seen = torch.cat([visible, torch.ones(5, 3, dtype=torch.bool)], 1)
    torch.testing.assert_close(merge(*parts), expected(query, key, value, seen)[0], atol=1e-5, rtol=1e-5)


def test_half_precision_keeps_its_type() -> None:
    query, key, value = states(9, torch.bfloat16)
    outputs, sums = attend(query, key, value, SCALE)
    whole = expected(query.float(), key.float(), value.float())
    assert outputs.dtype == torch.bfloat16
    assert merge((outputs, sums), (outputs, sums)).dtype == torch.bfloat16
    torch.testing.assert_close(outputs.float(), whole[0], atol=0.03, rtol=0.03)
    torch.testing.assert_close(sums, whole[1], atol=0.03, rtol=0.03)
