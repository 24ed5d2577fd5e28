"""Runs rows behind one shared prefix whose keys and values are stored once, and refills the places of rows that end."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import AttentionInterface

from pdistill.backends.local.engine.batch_limits import BatchLimits
from pdistill.backends.local.engine.kv_slots import KeyValues, KVSlots
from pdistill.backends.local.engine.step import Layer, Span, Step
from pdistill.backends.local.kernels.inference_linear import use_inference_linears
from pdistill.backends.local.kernels.last_layer import LastLayer
from pdistill.backends.local.kernels.rms_norm import use_fast_rms_norms
from pdistill.backends.local.model.adapter import shared_copy
from pdistill.core.batches import TokenIds

ATTENTION_NAME = "pdistill_cascade"
RESERVED_TOKENS = 32
"""Tokens of an answer that a slot has room for at the start."""

TokenChooser = Callable[[Sequence[int], torch.Tensor], Sequence[int | None]]
"""Gets the numbers of rows (B) and their logits (B, V); returns each row's next token, or None where the row is over."""

_step: ContextVar[Step] = ContextVar("step")


class UnfitError(Exception):
    """The model's attention is more than this engine computes."""


class CascadeEngine:
    """An engine for one model.

    Every forward pass runs the packed tokens of many rows: one token of each that is under way, all tokens of those
    that begin. So there is no padding outside of attention, and a place that becomes free is filled in the next pass.
    Of rows with the same tokens (samples of one query) one begins, and the others take its keys and values.

    Args:
        model: a transformers model; it stays as it is.
        limits: tokens and rows that may run together.

    Raises:
        UnfitError: the model does not take its attention from transformers' attention interface.
    """

    def __init__(self, model: Any, limits: BatchLimits) -> None:
        self.model = shared_copy(model)
        self.limits = limits
        self.model.set_attn_implementation(ATTENTION_NAME)
        self.config = self.model.config.get_text_config()
        if self.config._attn_implementation != ATTENTION_NAME:
            raise UnfitError(f"{type(model).__name__} has an attention of its own")
        use_inference_linears(self.model)
        use_fast_rms_norms(self.model)
        self.last = LastLayer.of(self.model)
        self.windows: dict[int, int | None] = {}

    def prefix(self, ids: TokenIds) -> list[KeyValues]:
        """Return keys and values (1, K, P, D) of each layer, of the last P tokens that what follows can see.

        The tokens run in blocks, each behind those before it, so that a long prompt takes no more memory than a short one.
        """
        held: list[KeyValues] = []
        for start in range(0, len(ids), self.limits.tokens):
            span = Span(0, 0, ids[start : start + self.limits.tokens])
            slots = KVSlots(self.config.num_hidden_layers, 1, len(span.ids))
            self._run([], [ScheduledRow(0, span)], [], slots, held or None, start)
            new = [slots.read(layer, 1, len(span.ids)) for layer in range(self.config.num_hidden_layers)]
            held = [_joined(held[i] if held else None, pair, self.windows[i]) for i, pair in enumerate(new)]
        return held

    def answers(
        self, rows: Sequence[TokenIds], prefix: Sequence[KeyValues] | None, before: int, room: int, choose: TokenChooser
    ) -> Iterator[None]:
        """Run all rows to their end, and yield after every step.

        Args:
            rows: token ids of each row, at least one.
            prefix: keys and values (1, K, P, D) of each layer, of the last P of the shared prefix' tokens.
            before: tokens of the prefix.
            room: tokens that a row may have after its own.
            choose: says how rows go on.
        """
        first: dict[tuple[int, ...], int] = {}
        alike = [first.setdefault(tuple(ids), row) for row, ids in enumerate(rows)]
        waiting = deque(sorted(range(len(rows)), key=lambda row: (-len(rows[row]), alike[row], row)))
        longest = max(map(len, rows), default=0)
        count = min(len(rows), self.limits.rows(longest + room))
        slots = KVSlots(self.config.num_hidden_layers, count, longest + min(room, RESERVED_TOKENS))
        free = list(range(count))[::-1]
        going: list[ScheduledRow] = []
        while waiting or going:
            new, twins = self._begin(waiting, free, rows, alike, len(going))
            logits = self._run(going, new, twins, slots, prefix, before)
            ran = [*going, *new, *twins]
            chosen = choose([place.row for place in ran], logits)
            free += [place.span.slot for place, token in zip(ran, chosen, strict=True) if token is None]
            going = [place.then(token) for place, token in zip(ran, chosen, strict=True) if token is not None]
            if not waiting and 2 * len(going) <= slots.count:
                going, free = _closed_up(going, slots), []
            yield

    def _begin(
        self, waiting: deque[int], free: list[int], rows: Sequence[TokenIds], alike: Sequence[int], tokens: int
    ) -> tuple[list["ScheduledRow"], list["ScheduledRow"]]:
        """Take waiting rows for which there are slots, and room beside `tokens` others; return those that run, and their twins."""
        new: list[ScheduledRow] = []
        twins: list[ScheduledRow] = []
        while waiting and free:
            row = waiting[0]
            if new and alike[row] == alike[new[-1].row]:
                twins.append(ScheduledRow(waiting.popleft(), Span(free.pop(), 0, rows[row]), of=len(new) - 1))
            elif not new or tokens + len(rows[row]) <= self.limits.tokens:
                new.append(ScheduledRow(waiting.popleft(), Span(free.pop(), 0, rows[row])))
                tokens += len(rows[row])
            else:
                break
        return new, twins

    def logits(
        self, rows: Sequence[TokenIds], prefix: Sequence[KeyValues] | None, before: int, keep: Sequence[int]
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield (number of the row, logits (keep, V) after its last `keep` tokens) for every row."""
        waiting = deque(sorted(range(len(rows)), key=lambda row: (-len(rows[row]), row)))
        while waiting:
            new: list[ScheduledRow] = []
            tokens = 0
            while waiting and (not new or tokens + len(rows[waiting[0]]) <= self.limits.tokens):
                row = waiting.popleft()
                new.append(ScheduledRow(row, Span(len(new), 0, rows[row], keep[row])))
                tokens += len(rows[row])
            slots = KVSlots(self.config.num_hidden_layers, len(new), len(new[0].span.ids))
            parts = torch.split(self._run([], new, [], slots, prefix, before), [place.span.keep for place in new])
            yield from zip((place.row for place in new), parts, strict=True)

    @torch.inference_mode()
    def _run(
        self,
        going: "Sequence[ScheduledRow]",
        new: "Sequence[ScheduledRow]",
        twins: "Sequence[ScheduledRow]",
        slots: KVSlots,
        prefix: Sequence[KeyValues] | None,
        before: int,
    ) -> torch.Tensor:
        """Return the logits (kept tokens, V) of one forward pass, and after them those of the twins."""
        ones, whole = ([place.span for place in places] for places in (going, new))
        step = Step(ones, whole, slots, prefix, before, self.model.device)
        logits = self._forward(step)
        if not twins:
            return logits
        slots.copy([new[twin.of].span.slot for twin in twins], [twin.span.slot for twin in twins])
        return torch.cat([logits, logits[[len(going) + twin.of for twin in twins]]])

    def _forward(self, step: Step) -> torch.Tensor:
        """Return the logits (kept tokens, V) of a step."""
        keep: Any = step.kept if self.last is None else 0
        token = _step.set(step)
        try:
            with nullcontext() if self.last is None else self.last.at(step.kept):
                logits: torch.Tensor = self.model(
                    input_ids=step.ids[None], position_ids=step.positions[None], logits_to_keep=keep, use_cache=False
                ).logits
        finally:
            _step.reset(token)
        self.windows = step.windows
        return logits[0, : step.output_count]


@dataclass(frozen=True, slots=True)
class ScheduledRow:
    """What runs of a row in the next step.

    Args:
        row: the row's number.
        span: its tokens, and where they are held.
        of: the place among the new rows of one with the same tokens, which runs for both.
    """

    row: int
    span: Span
    of: int = 0

    def then(self, token: int) -> "ScheduledRow":
        """Return the place of the row's next token."""
        return ScheduledRow(self.row, Span(self.span.slot, self.span.start + len(self.span.ids), [token]))


def _joined(held: KeyValues | None, new: KeyValues, window: int | None) -> KeyValues:
    """Return the keys and values of both, without those that no later token sees.

    Values lie in memory as the products over them want them: transposed.
    """
    parts = [new] if held is None else [held, new]
    first = 0 if window is None else -max(1, window - 1)
    keys = torch.cat([keys for keys, _ in parts], 2)[:, :, first:].contiguous()
    values = torch.cat([values for _, values in parts], 2)[:, :, first:]
    return keys, values.transpose(2, 3).contiguous().transpose(2, 3)


def _closed_up(going: Sequence[ScheduledRow], slots: KVSlots) -> list[ScheduledRow]:
    """Return the rows in slots that follow each other; there are no other slots then."""
    if going:
        slots.keep([place.span.slot for place in going])
    return [replace(place, span=replace(place.span, slot=slot)) for slot, place in enumerate(going)]


def _attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Any,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Return a layer's outputs (1, M, H, D) in the form of transformers' attention interface."""
    if kwargs.get("s_aux") is not None or not getattr(module, "is_causal", True):
        raise UnfitError(f"{type(module).__name__} is more than causal attention")
    index, count = module.layer_idx, module.config.num_hidden_layers
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    layer = Layer(index, scale, sliding_window, softcap, last=index == count - 1)
    return _step.get().attention(layer, query, key, value), None


AttentionInterface.register(ATTENTION_NAME, _attention)
