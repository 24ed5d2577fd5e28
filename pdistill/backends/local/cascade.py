"""Runs rows behind one shared prefix whose keys and values are stored once, and refills the places of rows that end."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import torch
from transformers import AttentionInterface

from pdistill.backends.local.adapter import shared_copy
from pdistill.backends.local.limits import Limits
from pdistill.backends.local.slots import KeyValues, Slots
from pdistill.backends.local.step import Layer, Span, Step
from pdistill.core.batches import TokenIds

NAME = "pdistill_cascade"
ROOM = 32
"""Tokens of an answer that a slot has room for at the start."""

Choose = Callable[[Sequence[int], torch.Tensor], Sequence[int | None]]
"""Gets the numbers of rows (B) and their logits (B, V); returns each row's next token, or None where the row is over."""

_step: ContextVar[Step] = ContextVar("step")


class Unfit(Exception):  # noqa: N818 - says what a model is, and never reaches a user
    """The model's attention is more than this engine computes."""


class Cascade:
    """An engine for one model.

    Every forward pass runs the packed tokens of many rows: one token of each that is under way, all tokens of those
    that begin. So there is no padding outside of attention, and a place that becomes free is filled in the next pass.

    Args:
        model: a transformers model; it stays as it is.
        limits: tokens and rows that may run together.

    Raises:
        Unfit: the model does not take its attention from transformers' attention interface.
    """

    def __init__(self, model: Any, limits: Limits) -> None:
        self.model = shared_copy(model)
        self.limits = limits
        self.model.set_attn_implementation(NAME)
        self.config = self.model.config.get_text_config()
        if self.config._attn_implementation != NAME:
            raise Unfit(f"{type(model).__name__} has an attention of its own")
        self.windows: dict[int, int | None] = {}

    def answers(
        self, rows: Sequence[TokenIds], prefix: Sequence[KeyValues] | None, before: int, room: int, choose: Choose
    ) -> Iterator[None]:
        """Run all rows to their end, and yield after every step.

        Args:
            rows: token ids of each row, at least one.
            prefix: keys and values (1, K, P, D) of each layer, of the last P of the shared prefix' tokens.
            before: tokens of the prefix.
            room: tokens that a row may have after its own.
            choose: says how rows go on.
        """
        waiting = deque(sorted(range(len(rows)), key=lambda row: (-len(rows[row]), row)))
        longest = max(map(len, rows), default=0)
        count = min(len(rows), self.limits.rows(longest + room))
        slots = Slots(self.config.num_hidden_layers, count, longest + min(room, ROOM))
        free = list(range(count))[::-1]
        going: list[tuple[int, Span]] = []
        while waiting or going:
            tokens = len(going)
            new: list[tuple[int, Span]] = []
            while waiting and free and (not new or tokens + len(rows[waiting[0]]) <= self.limits.tokens):
                row = waiting.popleft()
                new.append((row, Span(free.pop(), 0, rows[row])))
                tokens += len(rows[row])
            logits = self._run(going, new, slots, prefix, before)
            ran = [*going, *new]
            chosen = choose([row for row, _ in ran], logits)
            free += [span.slot for (_, span), token in zip(ran, chosen, strict=True) if token is None]
            going = [
                (row, Span(span.slot, span.start + len(span.ids), [token]))
                for (row, span), token in zip(ran, chosen, strict=True)
                if token is not None
            ]
            if not waiting and 2 * len(going) <= slots.count:
                going, free = _closed_up(going, slots), []
            yield

    def logits(
        self, rows: Sequence[TokenIds], prefix: Sequence[KeyValues] | None, before: int, keep: Sequence[int]
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield (number of the row, logits (keep, V) after its last `keep` tokens) for every row."""
        waiting = deque(sorted(range(len(rows)), key=lambda row: (-len(rows[row]), row)))
        while waiting:
            new: list[tuple[int, Span]] = []
            tokens = 0
            while waiting and (not new or tokens + len(rows[waiting[0]]) <= self.limits.tokens):
                row = waiting.popleft()
                new.append((row, Span(len(new), 0, rows[row], keep[row])))
                tokens += len(rows[row])
            slots = Slots(self.config.num_hidden_layers, len(new), len(rows[new[0][0]]))
            logits = self._run([], new, slots, prefix, before)
            parts = torch.split(logits, [span.keep for _, span in new])
            yield from zip((row for row, _ in new), parts, strict=True)

    @torch.inference_mode()
    def _run(
        self,
        going: Sequence[tuple[int, Span]],
        new: Sequence[tuple[int, Span]],
        slots: Slots,
        prefix: Sequence[KeyValues] | None,
        before: int,
    ) -> torch.Tensor:
        """Return the logits (kept tokens, V) of one forward pass."""
        step = Step([span for _, span in going], [span for _, span in new], slots, prefix, before, self.model.device)
        token = _step.set(step)
        try:
            logits: torch.Tensor = self.model(
                input_ids=step.ids[None], position_ids=step.positions[None], logits_to_keep=step.kept, use_cache=False
            ).logits
        finally:
            _step.reset(token)
        self.windows = step.windows
        return logits[0]


def _closed_up(going: list[tuple[int, Span]], slots: Slots) -> list[tuple[int, Span]]:
    """Return the rows in slots that follow each other; there are no other slots then."""
    if going:
        slots.keep([span.slot for _, span in going])
    return [(row, Span(i, span.start, span.ids)) for i, (row, span) in enumerate(going)]


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
        raise Unfit(f"{type(module).__name__} is more than causal attention")
    index, count = module.layer_idx, module.config.num_hidden_layers
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    layer = Layer(index, scale, sliding_window, softcap, last=index == count - 1)
    return _step.get().attention(layer, query, key, value), None


AttentionInterface.register(NAME, _attention)
