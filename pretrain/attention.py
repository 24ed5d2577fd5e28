"""Attention over a flat batch in which blocks of rows attend to chosen spans of keys."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Block:
    """Rows `start:stop` attend to all keys of `shared` and, under `mask`, at those of `own`."""

    start: int
    stop: int
    shared: tuple[int, int]
    own: tuple[int, int]
    mask: Tensor
    """Added to the scores of `own`: (rows, own keys), 0 or -inf."""

    def keys(self, tensor: Tensor) -> Tensor:
        """The rows of (heads, tokens, head) that the block attends to."""
        (a, b), (c, d) = self.shared, self.own
        if b == c:
            return tensor[:, a:d]
        return torch.cat([tensor[:, a:b], tensor[:, c:d]], dim=1)

    def add(self, target: Tensor, gradient: Tensor) -> None:
        """Add a gradient of the block's keys to that of all keys."""
        (a, b), (c, d) = self.shared, self.own
        target[:, a:b] += gradient[:, : b - a]
        target[:, c:d] += gradient[:, b - a :]


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, blocks: list[Block]) -> Tensor:
        output = torch.empty_like(query)
        shares = []
        for block in blocks:
            scores = query[:, block.start : block.stop] @ block.keys(key).transpose(1, 2)
            scores[..., block.shared[1] - block.shared[0] :] += block.mask
            share = torch.softmax(scores, dim=-1)
            output[:, block.start : block.stop] = share @ block.keys(value)
            shares.append(share)
        ctx.blocks = blocks
        ctx.save_for_backward(query, key, value, output, *shares)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        gradient = gradients[0]
        query, key, value, output, *shares = ctx.saved_tensors
        of_query = torch.empty_like(query)
        of_key = torch.zeros(key.shape, dtype=torch.float32)
        of_value = torch.zeros(value.shape, dtype=torch.float32)
        for block, share in zip(ctx.blocks, shares, strict=True):
            rows = slice(block.start, block.stop)
            outer = gradient[:, rows]
            block.add(of_value, share.transpose(1, 2) @ outer)
            inner = (outer * output[:, rows]).sum(-1, keepdim=True)
            of_scores = share * (outer @ block.keys(value).transpose(1, 2)).sub_(inner)
            of_query[:, rows] = of_scores @ block.keys(key)
            block.add(of_key, of_scores.transpose(1, 2) @ query[:, rows])
        return of_query, of_key.to(key.dtype), of_value.to(value.dtype), None


def attend(query: Tensor, key: Tensor, value: Tensor, blocks: list[Block]) -> Tensor:
    """Softmax attention, (heads, rows, head), of each block of rows over its keys."""
    scaled = query * (1.0 / math.sqrt(query.shape[-1]))
    output = _Attention.apply(scaled.contiguous(), key.contiguous(), value.contiguous(), blocks)  # type: ignore[no-untyped-call]
    assert isinstance(output, Tensor)
    return output
