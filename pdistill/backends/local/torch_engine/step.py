"""One forward pass over the packed tokens of many rows: each token sees the shared prefix and its own row, and nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import torch
from torch import nn

from pdistill.backends.local.kernels.buckets import round_up_to_bucket
from pdistill.backends.local.kernels.partial_attention import PartialAttention, attend, attend_by_matmul, merge
from pdistill.backends.local.torch_engine.interface import KeyValues, Prefix
from pdistill.backends.local.torch_engine.kv_slots import KVSlots
from pdistill.core.contract.batches import TokenIds

BUCKETS_PER_DOUBLING = 8
"""Sizes of a step between one power of two and the next."""


@dataclass(frozen=True, slots=True)
class Span:
    """Tokens of one row that are run in a step.

    Args:
        slot: the slot of the row.
        start: the position of the first token in the row.
        ids: the tokens.
        keep: how many of the last tokens need logits.
    """

    slot: int
    start: int
    ids: TokenIds
    keep: int = 1


@dataclass(frozen=True, slots=True)
class Layer:
    """How one layer of a model attends.

    Args:
        index: its number.
        scale: the factor for the scores.
        window: how many tokens back it sees, including the token itself; None is all.
        softcap: scores are squeezed into (-softcap, softcap); None leaves them unchanged.
        last: whether only the output layer follows.
    """

    index: int
    scale: float
    window: int | None
    softcap: float | None
    last: bool


class Step:
    """The attention of one forward pass over M tokens in one packed row, of which the last ones may be padding.

    Args:
        decode: one token of each row in progress.
        prefill: whole rows that start.
        slots: the keys and values of the rows.
        prefix: the shared prefix; None where there is none.
        device: where the model is.
    """

    def __init__(
        self,
        decode: Sequence[Span],
        prefill: Sequence[Span],
        slots: KVSlots,
        prefix: Prefix | None,
        device: torch.device,
    ) -> None:
        self.decode, self.prefill = decode, prefill
        self.slots, self.prefix, self.device = slots, prefix, device
        self.prefix_length = prefix.length if prefix else 0
        spans = [*decode, *prefill]
        slots.reserve(max(span.start + len(span.ids) for span in spans))
        sizes = [len(span.ids) for span in spans]
        self.tokens, padding = sum(sizes), round_up_to_bucket(sum(sizes), BUCKETS_PER_DOUBLING) - sum(sizes)
        self.ids = self._tensor([*(token for span in spans for token in span.ids), *[0] * padding])
        self.slot_of = self._tensor([span.slot for span, size in zip(spans, sizes, strict=True) for _ in range(size)])
        self.positions = self._tensor(
            [span.start + i for span, size in zip(spans, sizes, strict=True) for i in range(size)]
        )
        self.position_ids = nn.functional.pad(self.positions, (0, padding)) + self.prefix_length
        kept = [i for span, end in zip(spans, accumulate(sizes), strict=True) for i in range(end - span.keep, end)]
        self.kept_count = len(kept)
        self.kept = self._tensor(kept + kept[-1:] * (round_up_to_bucket(len(kept), BUCKETS_PER_DOUBLING) - len(kept)))
        self.windows: dict[int, int | None] = {}
        self._visible: dict[int, torch.Tensor | None] = {}
        self._biases: dict[int | None, torch.Tensor] = {}

    def attention(self, layer: Layer, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """Return a layer's outputs (1, M, H, D) for queries (1, H, M, D) and keys and values (1, K, M, D).

        In the last layer only the outputs of the kept tokens are computed; all others are zero.
        """
        self.windows[layer.index] = layer.window
        keys, values = key[0, :, : self.tokens], value[0, :, : self.tokens]
        self.slots.write(layer.index, self.slot_of, self.positions, keys.transpose(0, 1), values.transpose(0, 1))
        own = self._own_rows(layer, query[0], keys, values)
        if layer.last:
            query, own = query[:, :, self.kept], (own[0][:, self.kept], own[1][:, self.kept])
        outputs = (
            own[0] if self.prefix is None else self._with_prefix(layer, query, own, self.prefix.layers[layer.index])
        )
        outputs = outputs.transpose(0, 1)
        if not layer.last:
            return outputs[None]
        whole = outputs.new_zeros((len(self.ids), *outputs.shape[1:]))
        whole[self.kept] = outputs
        return whole[None]

    def _with_prefix(self, layer: Layer, query: torch.Tensor, own: PartialAttention, prefix: KeyValues) -> torch.Tensor:
        """Return outputs (H, M, D) over the prefix and the tokens' own rows together."""
        visible = self._prefix_visible(prefix[0].shape[2], layer.window)
        if layer.last and visible is not None:
            visible = visible[self.kept]
        shared = attend(query, *prefix, layer.scale, visible, softcap=layer.softcap)
        return merge((shared[0][0], shared[1][0]), own)

    def _own_rows(self, layer: Layer, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> PartialAttention:
        """Return outputs (H, M, D) and log-sum-exps (H, M) of each token over its own row; padding sees nothing."""
        decoded = len(self.decode)
        outputs, sums = torch.zeros_like(query), query.new_full(query.shape[:2], -torch.inf, dtype=torch.float32)
        if self.decode:
            outputs[:, :decoded], sums[:, :decoded] = self._decode_rows(layer, query[:, :decoded])
        if self.prefill:
            queries, keys, values = (self._in_grid(states) for states in (query, key, value))
            prefilled = self._prefill_rows(layer, queries, keys, values)
            outputs[:, decoded : self.tokens], sums[:, decoded : self.tokens] = prefilled
        return outputs, sums

    def _decode_rows(self, layer: Layer, query: torch.Tensor) -> PartialAttention:
        """Attend from the newest token of each row to all of its row, slot by slot; what free slots give is not read."""
        order, (count, longest) = self.slot_of[: len(self.decode)], self._decode_size
        keys, values = self.slots.read(layer.index, count, longest)
        queries = query.new_zeros((count, query.shape[0], 1, query.shape[2]))
        queries[order] = query.transpose(0, 1)[:, :, None]
        bias = self._decode_bias(count, longest, layer.window)
        outputs, sums = attend_by_matmul(queries, keys, values, layer.scale, bias, layer.softcap)
        return outputs[order, :, 0].transpose(0, 1), sums[order, :, 0].transpose(0, 1)

    def _prefill_rows(
        self, layer: Layer, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> PartialAttention:
        """Attend within rows (R, H, L, D) padded on their right: a token sees those before it, and so no padding."""
        positions = torch.arange(query.shape[2], device=self.device)
        visible = None
        if layer.window is not None and layer.window < len(positions):
            visible = (positions <= positions[:, None]) & (positions > positions[:, None] - layer.window)
        outputs, sums = attend(query, key, value, layer.scale, visible, visible is None, layer.softcap)
        outputs, sums = (part.transpose(0, 1).flatten(1, 2).index_select(1, self._packed) for part in (outputs, sums))
        return outputs, sums

    def _in_grid(self, states: torch.Tensor) -> torch.Tensor:
        """Return states (R, H, L, D) of the prefill rows, from packed ones (H, M, D)."""
        grid = states.index_select(1, self._grid.flatten())
        return grid.view(len(states), *self._grid.shape, -1).transpose(0, 1)

    def _decode_bias(self, count: int, longest: int, window: int | None) -> torch.Tensor:
        """Return what is added to the scores of each slot's positions, (count, 1, 1, 1, longest)."""
        if window in self._biases:
            return self._biases[window]
        ends = torch.zeros(count, dtype=torch.long, device=self.device)
        ends[self.slot_of[: len(self.decode)]] = self.positions[: len(self.decode)]
        positions = torch.arange(longest, device=self.device)
        visible = positions <= ends[:, None]
        if window is not None:
            visible &= positions > ends[:, None] - window
        bias = torch.zeros((count, longest), device=self.device).masked_fill_(~visible, -torch.inf)
        self._biases[window] = bias[:, None, None, None]
        return self._biases[window]

    def _prefix_visible(self, stored: int, window: int | None) -> torch.Tensor | None:
        """Return which of the last `stored` tokens of the prefix each token sees, (M, stored); None where it is all."""
        if window is None:
            return None
        if window not in self._visible:
            positions = torch.arange(self.prefix_length - stored, self.prefix_length, device=self.device)
            visible = positions > self.position_ids[:, None] - window
            self._visible[window] = None if bool(visible.all()) else visible
        return self._visible[window]

    @cached_property
    def _decode_size(self) -> tuple[int, int]:
        """How many slots are read, and how many tokens of each."""
        return max(span.slot for span in self.decode) + 1, max(span.start for span in self.decode) + 1

    @cached_property
    def _grid(self) -> torch.Tensor:
        """The index of the packed token at each position (R, L) of the prefill rows; any token serves as padding."""
        width = max(len(span.ids) for span in self.prefill)
        starts, start = [], len(self.decode)
        for span in self.prefill:
            starts.append(start)
            start += len(span.ids)
        return (self._tensor(starts)[:, None] + torch.arange(width, device=self.device)).clamp_(max=start - 1)

    @cached_property
    def _packed(self) -> torch.Tensor:
        """The index in the flattened grid (R * L) of each prefill token, in packed order."""
        width = max(len(span.ids) for span in self.prefill)
        return self._tensor([row * width + i for row, span in enumerate(self.prefill) for i in range(len(span.ids))])

    def _tensor(self, values: Sequence[int]) -> torch.Tensor:
        return torch.tensor(values, dtype=torch.long, device=self.device)
