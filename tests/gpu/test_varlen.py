"""Attention within rows of unequal length laid end to end, on a GPU by flash attention, against plain attention per row.

The criterion is flash attention's own: at most three times as far from float64 as plain attention in the same dtype is.
"""

import math

import pytest
import torch

from tests.gpu.device import HALVES, ON_GPU, has_flash_attention
from tests.gpu.internals import attend_rows
from tests.gpu.rows import LENGTHS

DTYPES = HALVES if ON_GPU else (*HALVES, "float32")
"""Flash attention does not support float32; the tiles that a CPU uses do."""
FLOOR = {"bfloat16": 1e-3, "float16": 1e-4, "float32": 1e-6}
HEADS = {"one": (1, 1, 64), "grouped": (6, 2, 32), "wide": (2, 2, 128), "widest": (4, 1, 256)}
SIZES = {"unequal": LENGTHS, "one row": (200,), "single tokens": (1, 1, 1, 40), "long": (400, 20)}


def plain(states: list[torch.Tensor], lengths: tuple[int, ...], window: int | None) -> torch.Tensor:
    """The same (1, T, H, D) row by row, by matrix products and a mask, in the dtype of the states."""
    query, key, value = states
    groups = query.shape[1] // key.shape[1]
    parts = []
    for rows in zip(*(torch.split(tensor, list(lengths), 2) for tensor in (query, key, value)), strict=True):
        q, k, v = rows[0], rows[1].repeat_interleave(groups, 1), rows[2].repeat_interleave(groups, 1)
        distance = torch.arange(q.shape[2], device=q.device)[:, None] - torch.arange(q.shape[2], device=q.device)
        visible = (distance >= 0) & (distance < (window or q.shape[2]))
        scores = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).masked_fill(~visible, -torch.inf)
        parts.append(scores.softmax(-1) @ v)
    return torch.cat(parts, 2).transpose(1, 2)


def outputs_and_gradients(
    kind: str, states: list[torch.Tensor], lengths: tuple[int, ...], window: int | None
) -> list[torch.Tensor]:
    """The outputs, and the gradients of queries, keys and values, in float64."""
    dtype = torch.float64 if kind == "exact" else states[0].dtype
    leaves = [tensor.detach().to(dtype).requires_grad_() for tensor in states]
    outputs = attend_rows(leaves, lengths, window) if kind == "ours" else plain(leaves, lengths, window)
    gradient = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(3)).to(outputs.device, dtype)
    torch.autograd.backward(outputs, gradient)
    return [tensor.double() for tensor in (outputs.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None))]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("heads", HEADS)
@pytest.mark.parametrize("window", [None, 24])
@pytest.mark.parametrize("sizes", SIZES)
def test_forward_and_backward(device: str, dtype: str, heads: str, window: int | None, sizes: str) -> None:
    if ON_GPU and not has_flash_attention():
        pytest.skip("this GPU has no flash attention: its capability is below 8.0")
    lengths, (queries, keys, size) = SIZES[sizes], HEADS[heads]
    generator = torch.Generator().manual_seed(sum(lengths))
    states = [
        torch.randn((1, count, sum(lengths), size), generator=generator).to(device, getattr(torch, dtype))
        for count in (queries, keys, keys)
    ]
    ours, theirs, exact = (outputs_and_gradients(kind, states, lengths, window) for kind in ("ours", "plain", "exact"))
    assert len(ours) == 4
    for name, one, other, right in zip(("output", "query", "key", "value"), ours, theirs, exact, strict=True):
        assert one.shape == right.shape
        error, usual = (one - right).abs().max().item(), (other - right).abs().max().item()
        assert error <= 3 * usual + FLOOR[dtype] * right.abs().max().item(), (name, error, usual)
