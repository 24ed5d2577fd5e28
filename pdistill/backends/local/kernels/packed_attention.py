"""Attention within packed rows: each token sees its own row up to and including itself.

Rows are laid end to end in one packed row. Short neighbours are grouped into tiles, because many small products are slower
than one of moderate size; a mask keeps the rows of a tile apart.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface

ATTENTION_NAME = "pdistill_tiles"
MAX_TILE_TOKENS = 96
"""Most tokens of a tile of several rows."""
MIN_RECOMPUTED_TILE_TOKENS = 384
"""Tokens from which a tile's attention weights are computed again in the backward pass, not kept for it."""


@dataclass(frozen=True, slots=True)
class Tile:
    """Whole rows, tokens `start` to `end` of the packed row; `rows` are their lengths."""

    start: int
    end: int
    rows: tuple[int, ...]

    def mask(self, window: int | None, device: torch.device) -> torch.Tensor:
        """Return what is added to the scores (N, N): 0 where a token (first dimension) sees another one, else -inf."""
        row = torch.repeat_interleave(torch.arange(len(self.rows)), torch.tensor(self.rows))
        position = torch.arange(len(row))
        distance = position[:, None] - position
        visible = (row[:, None] == row) & (distance >= 0)
        if window is not None:
            visible &= distance < window
        return torch.zeros(len(row), len(row)).masked_fill_(~visible, float("-inf")).to(device)


class Tiles:
    """The tiles of rows of these lengths, laid end to end; `windows` has the layers' sliding windows after a forward pass."""

    def __init__(self, lengths: Sequence[int]) -> None:
        self.lengths = lengths
        self.windows: dict[int, int] = {}
        self.tiles = _tiles(lengths)
        self._masks: dict[tuple[int, int | None], torch.Tensor] = {}

    def mask(self, number: int, window: int | None, device: torch.device) -> torch.Tensor:
        """Return a tile's mask; the window is ignored where no row is longer."""
        tile = self.tiles[number]
        window = window if window is not None and max(tile.rows) > window else None
        if (number, window) not in self._masks:
            self._masks[number, window] = tile.mask(window, device)
        return self._masks[number, window]


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
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Return the attention outputs (B, T, H, D) of queries (B, H, T, D): an implementation of transformers' interface.

    The rows are those of `tiles`, or else the B rows of the batch, which may be padded on their right only.

    Raises:
        NotImplementedError: the model needs another kind of attention.
    """
    if attention_mask is not None or kwargs.get("softcap") is not None or kwargs.get("s_aux") is not None:
        raise NotImplementedError("it needs another kind of attention")
    count, heads, length, _ = query.shape
    tiles = tiles or Tiles([length] * count)
    if sliding_window is not None:
        tiles.windows[module.layer_idx] = sliding_window
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    q, k, v = (tensor.transpose(0, 1).reshape(tensor.shape[1], count * length, -1) for tensor in (query, key, value))
    if query.is_cuda:
        outputs = _attend_by_flash(q, k, v, tiles, scale, sliding_window)
    else:
        apply: Callable[..., torch.Tensor] = _TileAttention.apply
        outputs = apply(q, k, v, tiles, scale, sliding_window)
    return outputs.view(heads, count, length, -1).permute(1, 2, 0, 3), None


AttentionInterface.register(ATTENTION_NAME, attend)


class _TileAttention(torch.autograd.Function):
    """Attention tile by tile: queries (H, T, D), keys and values (K, T, D) with H / K query heads per key head."""

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
        outputs = torch.empty_like(query[..., : value.shape[-1]])
        kept_weights = []
        for number, tile in enumerate(tiles.tiles):
            span = slice(tile.start, tile.end)
            weights = _weights(ctx, number, query[:, span], key[:, span])
            outputs[:, span] = torch.bmm(weights, value[:, span]).view(len(query), tile.end - tile.start, -1)
            kept_weights.append(weights if tile.end - tile.start < MIN_RECOMPUTED_TILE_TOKENS else None)
        ctx.kept_weights = kept_weights
        ctx.save_for_backward(query, key, value)
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value = ctx.saved_tensors
        input_gradients = [torch.empty_like(tensor) for tensor in (query, key, value)]
        heads = len(key)
        for number, tile in enumerate(ctx.tiles.tiles):
            span = slice(tile.start, tile.end)
            q, k, v = _group_by_key_head(query[:, span], heads), key[:, span], value[:, span]
            weights = ctx.kept_weights[number]
            if weights is None:
                weights = _weights(ctx, number, query[:, span], k)
            output_gradient = _group_by_key_head(gradients[0][:, span], heads)
            input_gradients[2][:, span] = torch.bmm(weights.transpose(1, 2), output_gradient)
            weight_gradient = torch.bmm(output_gradient, v.transpose(1, 2))
            score_gradient = torch._softmax_backward_data(weight_gradient, weights, -1, weights.dtype).mul_(ctx.scale)
            input_gradients[0][:, span] = torch.bmm(score_gradient, k).view(len(query), tile.end - tile.start, -1)
            input_gradients[1][:, span] = torch.bmm(score_gradient.transpose(1, 2), q)
        ctx.kept_weights = None
        return (*input_gradients, None, None, None)


def _attend_by_flash(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, tiles: Tiles, scale: float, window: int | None
) -> torch.Tensor:
    """Return the same as `_TileAttention` by a GPU's flash attention, which takes rows of different lengths as they are."""
    from torch.nn.attention.varlen import varlen_attn

    longest = max(tiles.lengths)
    ends = torch.tensor([0, *tiles.lengths]).cumsum(0).to(query.device, torch.int32)
    q, k, v = (tensor.transpose(0, 1).contiguous() for tensor in (query, key, value))
    window_size = (-1 if window is None else window - 1, 0)
    packed: Any = varlen_attn(
        q, k, v, ends, ends, longest, longest, scale=scale, window_size=window_size, enable_gqa=len(query) != len(key)
    )
    outputs: torch.Tensor = packed.transpose(0, 1)
    return outputs


def _weights(ctx: Any, number: int, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """Return the attention weights (K, H / K * N, N) of a tile."""
    groups = len(query) // len(key)
    mask = ctx.tiles.mask(number, ctx.window, query.device).to(query.dtype).repeat(groups, 1)
    scores = torch.baddbmm(mask, _group_by_key_head(query, len(key)), key.transpose(1, 2), alpha=ctx.scale)
    return functional.softmax(scores, -1, dtype=torch.float32).to(query.dtype)


def _group_by_key_head(tensor: torch.Tensor, heads: int) -> torch.Tensor:
    """Return (H, N, D) as (K, H / K * N, D): the query heads of one key head stacked."""
    return tensor.reshape(heads, -1, tensor.shape[-1])
