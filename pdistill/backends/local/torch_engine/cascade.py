"""Runs rows after one shared prefix whose keys and values are stored once, and refills the slots of rows that finish."""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from transformers import AttentionInterface

from pdistill.backends.local.kernels.fit import UnfitError
from pdistill.backends.local.kernels.inference_linear import use_inference_linears
from pdistill.backends.local.kernels.last_layer import LastLayer
from pdistill.backends.local.kernels.rms_norm import use_fast_rms_norms
from pdistill.backends.local.model.adapter import shared_copy
from pdistill.backends.local.torch_engine.batch_limits import BatchLimits
from pdistill.backends.local.torch_engine.interface import KeyValues, Prefix, TokenChooser
from pdistill.backends.local.torch_engine.kv_slots import KVSlots
from pdistill.backends.local.torch_engine.step import Layer, Span, Step
from pdistill.core.contract.batches import TokenIds

ATTENTION_NAME = "pdistill_cascade"
RESERVED_TOKENS = 32
"""Most tokens of an answer for which a slot has room at the start."""

_step: ContextVar[Step] = ContextVar("step")


class CascadeEngine:
    """An engine for one model.

    Every forward pass runs the packed tokens of many rows: one token of each row in progress (decode), all tokens of each
    row that starts (prefill). So there is no padding outside of attention, and a slot that becomes free is filled in the
    next pass. Of rows with the same tokens (samples of one query) one is run, and the others copy its keys and values.

    Args:
        model: a transformers model, which is not changed.
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
            raise UnfitError(f"{type(model).__name__} has its own attention")
        use_inference_linears(self.model)
        use_fast_rms_norms(self.model)
        self.last = LastLayer.of(self.model)
        self.windows: dict[int, int | None] = {}

    def prefix(self, ids: TokenIds) -> Prefix:
        """Return the keys and values of a prefix.

        The tokens run in blocks, each after those before it, so that a long prompt takes no more memory than a short one.
        """
        prefix: Prefix | None = None
        for start in range(0, len(ids), self.limits.tokens):
            span = Span(0, 0, ids[start : start + self.limits.tokens])
            slots = KVSlots(self.config.num_hidden_layers, 1, len(span.ids))
            self._run(Scheduled([], [ScheduledRow(0, span)]), slots, prefix)
            block = [slots.read(layer, 1, len(span.ids)) for layer in range(self.config.num_hidden_layers)]
            layers = [
                _append(prefix.layers[i] if prefix else None, states, self.windows[i]) for i, states in enumerate(block)
            ]
            prefix = Prefix(layers, start + len(span.ids))
        return prefix or Prefix([], 0)

    def decode(
        self, rows: Sequence[TokenIds], prefix: Prefix | None, max_new_tokens: int, choose: TokenChooser
    ) -> Iterator[None]:
        """Run all rows to their end, and yield after each step.

        Args:
            rows: token ids of each row, at least one.
            prefix: the shared prefix.
            max_new_tokens: most tokens that a row may get after its own.
            choose: chooses each row's next token.
        """
        first: dict[tuple[int, ...], int] = {}
        originals = [first.setdefault(tuple(ids), row) for row, ids in enumerate(rows)]
        waiting = deque(sorted(range(len(rows)), key=lambda row: (-len(rows[row]), originals[row], row)))
        longest = max(map(len, rows), default=0)
        count = min(len(rows), self.limits.rows(longest + max_new_tokens))
        slots = KVSlots(self.config.num_hidden_layers, count, longest + min(max_new_tokens, RESERVED_TOKENS))
        free = list(range(count))[::-1]
        running: list[ScheduledRow] = []
        while waiting or running:
            scheduled = self._schedule(running, waiting, free, rows, originals)
            logits = self._run(scheduled, slots, prefix)
            chosen = choose([row.number for row in scheduled.rows], logits)
            free += [row.span.slot for row, token in zip(scheduled.rows, chosen, strict=True) if token is None]
            running = [
                row.advance(token) for row, token in zip(scheduled.rows, chosen, strict=True) if token is not None
            ]
            if not waiting and 2 * len(running) <= slots.count:
                running, free = _compact(running, slots), []
            yield

    def _schedule(
        self,
        running: "list[ScheduledRow]",
        waiting: deque[int],
        free: list[int],
        rows: Sequence[TokenIds],
        originals: Sequence[int],
    ) -> "Scheduled":
        """Return the next step: the running rows, and waiting ones for which there are slots and room."""
        scheduled = Scheduled(running, [])
        prefill, tokens = scheduled.prefill, len(running)
        while waiting and free:
            number = waiting[0]
            if prefill and originals[number] == originals[prefill[-1].number]:
                span = Span(free.pop(), 0, rows[number])
                scheduled.duplicates.append(ScheduledRow(waiting.popleft(), span, source=len(prefill) - 1))
            elif not prefill or tokens + len(rows[number]) <= self.limits.tokens:
                prefill.append(ScheduledRow(waiting.popleft(), Span(free.pop(), 0, rows[number])))
                tokens += len(rows[number])
            else:
                break
        return scheduled

    def logits(
        self, rows: Sequence[TokenIds], prefix: Prefix | None, keep: Sequence[int]
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield (row number, logits (keep, V) of its last `keep` tokens) for every row."""
        waiting = deque(sorted(range(len(rows)), key=lambda row: (-len(rows[row]), row)))
        while waiting:
            prefill: list[ScheduledRow] = []
            tokens = 0
            while waiting and (not prefill or tokens + len(rows[waiting[0]]) <= self.limits.tokens):
                number = waiting.popleft()
                prefill.append(ScheduledRow(number, Span(len(prefill), 0, rows[number], keep[number])))
                tokens += len(rows[number])
            slots = KVSlots(self.config.num_hidden_layers, len(prefill), len(prefill[0].span.ids))
            logits = self._run(Scheduled([], prefill), slots, prefix)
            parts = torch.split(logits, [row.span.keep for row in prefill])
            yield from zip((row.number for row in prefill), parts, strict=True)

    @torch.inference_mode()
    def _run(self, scheduled: "Scheduled", slots: KVSlots, prefix: Prefix | None) -> torch.Tensor:
        """Return the logits (kept tokens, V) of one forward pass, followed by those of the duplicates."""
        decode, prefill = ([row.span for row in rows] for rows in (scheduled.decode, scheduled.prefill))
        logits = self._forward(Step(decode, prefill, slots, prefix, self.model.device))
        duplicates = scheduled.duplicates
        if not duplicates:
            return logits
        slots.copy([prefill[row.source].slot for row in duplicates], [row.span.slot for row in duplicates])
        return torch.cat([logits, logits[[len(decode) + row.source for row in duplicates]]])

    def _forward(self, step: Step) -> torch.Tensor:
        """Return the logits (kept tokens, V) of a step."""
        keep: Any = step.kept if self.last is None else 0
        token = _step.set(step)
        try:
            with nullcontext() if self.last is None else self.last.at(step.kept):
                logits: torch.Tensor = self.model(
                    input_ids=step.ids[None], position_ids=step.position_ids[None], logits_to_keep=keep, use_cache=False
                ).logits
        finally:
            _step.reset(token)
        self.windows = step.windows
        return logits[0, : step.kept_count]


@dataclass(frozen=True, slots=True)
class ScheduledRow:
    """What is run of a row in the next step.

    Args:
        number: the row's number.
        span: its tokens, and the slot of their keys and values.
        source: for a duplicate, the index among the prefill rows of the one that runs for both.
    """

    number: int
    span: Span
    source: int = 0

    def advance(self, token: int) -> "ScheduledRow":
        """Return what is run of the row after that: its next token."""
        return ScheduledRow(self.number, Span(self.span.slot, self.span.start + len(self.span.ids), [token]))


@dataclass(frozen=True, slots=True)
class Scheduled:
    """The rows of one step.

    Args:
        decode: rows in progress, one token each.
        prefill: rows that start, whole.
        duplicates: rows that start with the same tokens as a prefill row, and copy its keys and values.
    """

    decode: list[ScheduledRow]
    prefill: list[ScheduledRow]
    duplicates: list[ScheduledRow] = field(default_factory=list)

    @property
    def rows(self) -> list[ScheduledRow]:
        """All rows, in the order of their logits."""
        return [*self.decode, *self.prefill, *self.duplicates]


def _append(old: KeyValues | None, new: KeyValues, window: int | None) -> KeyValues:
    """Return the keys and values of both, without those that no later token sees.

    Values are stored transposed, which is the layout that the products with them want.
    """
    parts = [new] if old is None else [old, new]
    first = 0 if window is None else -max(1, window - 1)
    keys = torch.cat([keys for keys, _ in parts], 2)[:, :, first:].contiguous()
    values = torch.cat([values for _, values in parts], 2)[:, :, first:]
    return keys, values.transpose(2, 3).contiguous().transpose(2, 3)


def _compact(running: Sequence[ScheduledRow], slots: KVSlots) -> list[ScheduledRow]:
    """Return the rows in consecutive slots, after removing all other slots."""
    if running:
        slots.keep([row.span.slot for row in running])
    return [replace(row, span=replace(row.span, slot=slot)) for slot, row in enumerate(running)]


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
    """Return a layer's outputs (1, M, H, D): an implementation of transformers' attention interface."""
    if kwargs.get("s_aux") is not None or not getattr(module, "is_causal", True):
        raise UnfitError(f"{type(module).__name__} is more than causal attention")
    index, count = module.layer_idx, module.config.num_hidden_layers
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    layer = Layer(index, scale, sliding_window, softcap, last=index == count - 1)
    return _step.get().attention(layer, query, key, value), None


AttentionInterface.register(ATTENTION_NAME, _attention)
