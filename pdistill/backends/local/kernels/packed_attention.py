"""Attention within packed rows: each token sees the tokens of its own row up to itself.

Rows lie one behind the other in one long row. Neighbours are taken together into tiles, since many small products are
slower than one of middling size; a mask keeps the rows of a tile apart.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface

ATTENTION_NAME = "pdistill_tiles"
MAX_TILE_TOKENS, MIN_RECOMPUTED_TILE_TOKENS = 96, 384
"""Tokens that a tile of several rows has at most; tokens from which a tile's probabilities are not kept for the backward pass."""


@dataclass(frozen=True, slots=True)
class Tile:
    """Tokens `start` to `end` of the packed row, whole rows; `mask` (N, N) is added to their scores, by window size."""

    start: int
    end: int
    rows: tuple[int, ...]

    def mask(self, window: int | None, device: torch.device) -> torch.Tensor:
        """Return 0 where a token (first dimension) sees another one, else minus infinity."""
        row = torch.repeat_interleave(torch.arange(len(self.rows)), torch.tensor(self.rows))
        place = torch.arange(len(row))
        behind = place[:, None] - place
        seen = (row[:, None] == row) & (behind >= 0)
        if window is not None:
            seen &= behind < window
        return torch.zeros(len(row), len(row)).masked_fill_(~seen, float("-inf")).to(device)


class Tiles:
    """The tiles of rows of these lengths, laid end to end; `windows` holds the layers' sliding windows once they have run."""

    def __init__(self, lengths: Sequence[int]) -> None:
        self.lengths = lengths
        self.windows: dict[int, int] = {}
        self.tiles = _tiles(lengths)
        self._masks: dict[tuple[int, int | None], torch.Tensor] = {}

    def mask(self, number: int, window: int | None, device: torch.device) -> torch.Tensor:
        """Return a tile's mask; rows no longer than the window are not cut by it."""
        tile = self.tiles[number]
        cut = window if window is not None and max(tile.rows) > window else None
        if (number, cut) not in self._masks:
            self._masks[number, cut] = tile.mask(cut, device)
        return self._masks[number, cut]


def _tiles(lengths: Sequence[int]) -> list[Tile]:
    groups: list[list[int]] = []
    for length in lengths:
        if groups and sum(groups[-1]) + length <= MAX_TILE_TOKENS:
            groups[-1].append(length)
        else:
            groups.append([length])
    ends = [0]
    for group in groups:
        ends.append(ends[-1] + sum(group))
    return [Tile(start, end, tuple(group)) for (start, end), group in zip(pairwise(ends), groups, strict=True)]


def attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    tiles: Tiles | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """Return what the queries (B, H, T, D) attend to, (B, T, H, D): transformers' interface for attention.

    The rows are those of `tiles`, else the B rows as they are; padding can only be on their right.

    Raises:
        NotImplementedError: the model asks for attention of another kind.
    """
    if attention_mask is not None or others.get("softcap") is not None or others.get("s_aux") is not None:
        raise NotImplementedError("attention of another kind")
    count, heads, length, _ = query.shape
    tiles = tiles or Tiles([length] * count)
    if sliding_window is not None:
        tiles.windows[module.layer_idx] = sliding_window
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    q, k, v = (tensor.transpose(0, 1).reshape(tensor.shape[1], count * length, -1) for tensor in (query, key, value))
    if query.is_cuda:
        answer = _by_flash(q, k, v, tiles, scale, sliding_window)
    else:
        apply: Callable[..., torch.Tensor] = _Attention.apply
        answer = apply(q, k, v, tiles, scale, sliding_window)
    return answer.view(heads, count, length, -1).permute(1, 2, 0, 3), None


AttentionInterface.register(ATTENTION_NAME, attend)


class _Attention(torch.autograd.Function):
    """Attention tile by tile: queries (H, T, D), keys and values (K, T, D) with H / K query heads to each key head."""

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        tiles: Tiles,
        scale: float,
        window: int | None,
    ) -> torch.Tensor:
        ctx.tiles, ctx.scale, ctx.window = tiles, scale, window
        answer = torch.empty_like(query[..., : value.shape[-1]])
        kept = []
        for number, tile in enumerate(tiles.tiles):
            span = slice(tile.start, tile.end)
            weights = _weights(ctx, number, query[:, span], key[:, span])
            answer[:, span] = torch.bmm(weights, value[:, span]).view(len(query), tile.end - tile.start, -1)
            kept.append(weights if tile.end - tile.start < MIN_RECOMPUTED_TILE_TOKENS else None)
        ctx.kept = kept
        ctx.save_for_backward(query, key, value)
        return answer

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value = ctx.saved_tensors
        given = [torch.empty_like(tensor) for tensor in (query, key, value)]
        heads = len(key)
        for number, tile in enumerate(ctx.tiles.tiles):
            span = slice(tile.start, tile.end)
            q, k, v = _by_key_head(query[:, span], heads), key[:, span], value[:, span]
            weights = ctx.kept[number]
            if weights is None:
                weights = _weights(ctx, number, query[:, span], k)
            slope = _by_key_head(gradients[0][:, span], heads)
            given[2][:, span] = torch.bmm(weights.transpose(1, 2), slope)
            scores = torch._softmax_backward_data(torch.bmm(slope, v.transpose(1, 2)), weights, -1, weights.dtype).mul_(
                ctx.scale
            )
            given[0][:, span] = torch.bmm(scores, k).view(len(query), tile.end - tile.start, -1)
            given[1][:, span] = torch.bmm(scores.transpose(1, 2), q)
        ctx.kept = None
        return (*given, None, None, None)


def _by_flash(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, tiles: Tiles, scale: float, window: int | None
) -> torch.Tensor:
    """Return the same as `_Attention` by the flash attention of a GPU, which takes rows of unequal length as they are."""
    from torch.nn.attention.varlen import varlen_attn

    longest = max(tiles.lengths)
    ends = torch.tensor([0, *tiles.lengths]).cumsum(0).to(query.device, torch.int32)
    q, k, v = (tensor.transpose(0, 1).contiguous() for tensor in (query, key, value))
    seen = (-1 if window is None else window - 1, 0)
    given: Any = varlen_attn(
        q, k, v, ends, ends, longest, longest, scale=scale, window_size=seen, enable_gqa=len(query) != len(key)
    )
    answer: torch.Tensor = given.transpose(0, 1)
    return answer


def _weights(ctx: Any, number: int, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """Return the attention weights (K, H / K * N, N) of a tile."""
    groups = len(query) // len(key)
    mask = ctx.tiles.mask(number, ctx.window, query.device).to(query.dtype).repeat(groups, 1)
    scores = torch.baddbmm(mask, _by_key_head(query, len(key)), key.transpose(1, 2), alpha=ctx.scale)
    return functional.softmax(scores, -1, dtype=torch.float32).to(query.dtype)


def _by_key_head(tensor: torch.Tensor, heads: int) -> torch.Tensor:
    """Return (H, N, D) as (K, H / K * N, D): the query heads of one key head below each other."""
    return tensor.reshape(heads, -1, tensor.shape[-1])
