"""Runs rows in batches behind a prefix that is copied in for each row: fits every model with a key-value cache."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

from pdistill.backends.local.engine.batch_limits import BatchLimits
from pdistill.backends.local.engine.cascade import TokenChooser
from pdistill.backends.local.engine.kv_cache import prefix_cache
from pdistill.backends.local.engine.kv_slots import KeyValues
from pdistill.backends.local.engine.native_model import NativeModel
from pdistill.core.batches import TokenIds

RESERVED_TOKENS = 64


class PaddedEngine:
    """An engine for one model.

    `shares_prefix` says whether rows may share a prefix and be padded: so it is where every layer attends to all tokens
    before it. Models with sliding windows or recurrent layers get rows of equal length, each with its own prefix.
    """

    def __init__(self, native: NativeModel, limits: BatchLimits) -> None:
        self.native = native
        self.limits = limits
        self.layers = native.config.num_hidden_layers
        self.shares_prefix = all(type(layer) is DynamicLayer for layer in DynamicCache(config=native.config).layers)

    def prefix(self, ids: TokenIds) -> list[KeyValues]:
        """Return keys and values (1, K, P, D) of each layer."""
        return self.native.prefix(ids)

    def answers(
        self, rows: Sequence[TokenIds], prefix: Sequence[KeyValues] | None, before: int, room: int, choose: TokenChooser
    ) -> Iterator[None]:
        """Run all rows to their end, a batch at a time, and yield after every step; half-empty batches are made smaller."""
        for numbers in self.batches([len(row) for row in rows], before, room):
            running = self.start([rows[row] for row in numbers], prefix, room)
            logits = running.first()
            over: set[int] = set()
            tokens = [0] * len(numbers)
            while True:
                at = [place for place, row in enumerate(numbers) if row not in over]
                chosen = choose([numbers[place] for place in at], logits[at, -1])
                for place, token in zip(at, chosen, strict=True):
                    if token is None:
                        over.add(numbers[place])
                    else:
                        tokens[place] = token
                yield
                left = [place for place, row in enumerate(numbers) if row not in over]
                if not left:
                    break
                if 2 * len(left) <= len(numbers):
                    running.keep(left)
                    numbers, tokens = [numbers[place] for place in left], [tokens[place] for place in left]
                logits = running.then(tokens)

    def logits(
        self, rows: Sequence[TokenIds], prefix: Sequence[KeyValues] | None, before: int, keep: Sequence[int]
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield (number of the row, logits (keep, V) after its last `keep` tokens) for every row."""
        for numbers in self.batches([len(row) for row in rows], before, 0):
            logits = self.start([rows[row] for row in numbers], prefix, 0).first(max(keep[row] for row in numbers))
            for row, part in zip(numbers, logits, strict=True):
                yield row, part[-keep[row] :]

    def batches(self, lengths: Sequence[int], before: int, room: int) -> list[list[int]]:
        """Return which rows run together: rows of like length, as many as the limits allow."""
        order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
        batches: list[list[int]] = []
        for row in order:
            longest = lengths[batches[-1][0]] if batches else 0
            fits = bool(batches) and len(batches[-1]) < self._most_rows(before, longest, room)
            if fits and (self.shares_prefix or lengths[row] == longest):
                batches[-1].append(row)
            else:
                batches.append([row])
        return batches

    def start(self, rows: Sequence[TokenIds], prefix: Sequence[KeyValues] | None, room: int) -> "PaddedBatch":
        """Return a batch of rows behind the prefix, not yet run."""
        cache: Any = DynamicCache(config=self.native.config)
        if self.shares_prefix:
            cache = prefix_cache(prefix, self.layers, min(room, RESERVED_TOKENS))
        return PaddedBatch(self.native, rows, cache)

    def _most_rows(self, before: int, longest: int, room: int) -> int:
        return max(1, min(self.limits.rows(before + longest + room), self.limits.tokens // longest))


class PaddedBatch:
    """A batch under way: rows are padded on their left, so that the last token of each row comes last."""

    def __init__(self, native: NativeModel, rows: Sequence[TokenIds], cache: Any) -> None:
        self.native = native
        self.cache = cache
        self.rows = rows
        self.before = cache.get_seq_length()
        lengths = torch.tensor([len(row) for row in rows])
        self.mask = torch.ones(len(rows), self.before + int(lengths.max()), dtype=torch.long)
        for place, row in enumerate(rows):
            self.mask[place, self.before : self.mask.shape[1] - len(row)] = 0
        self.ends = self.before + lengths

    @torch.inference_mode()
    def first(self, keep: int = 1) -> torch.Tensor:
        """Return logits (B, keep, V) after the last `keep` tokens of the rows."""
        width = self.mask.shape[1] - self.before
        ids = torch.tensor([[0] * (width - len(row)) + list(row) for row in self.rows])
        positions = (self.ends[:, None] - width + torch.arange(width)).clamp(min=0)
        return self.native.forward(ids, self.mask, positions, self.cache, keep)

    @torch.inference_mode()
    def then(self, tokens: Sequence[int]) -> torch.Tensor:
        """Return logits (B, 1, V) after one more token a row."""
        self.mask = torch.nn.functional.pad(self.mask, (0, 1), value=1)
        ids, positions = torch.tensor(tokens)[:, None], self.ends[:, None]
        self.ends = self.ends + 1
        return self.native.forward(ids, self.mask, positions, self.cache, 1)

    @torch.inference_mode()
    def keep(self, places: Sequence[int]) -> None:
        """Go on with only these rows of the batch."""
        indices = torch.tensor(places)
        self.mask, self.ends = self.mask[indices], self.ends[indices]
        self.cache.batch_select_indices(indices.to(self.native.model.device))
