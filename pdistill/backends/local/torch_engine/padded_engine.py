"""Runs padded batches after a prefix that is copied in for each row: fits every model with a key-value cache."""

from collections.abc import Iterator, Sequence

import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from pdistill.backends.local.torch_engine.batch_limits import BatchLimits
from pdistill.backends.local.torch_engine.interface import Prefix, TokenChooser
from pdistill.backends.local.torch_engine.kv_cache import prefix_cache
from pdistill.backends.local.torch_engine.native_model import NativeModel
from pdistill.core.contract.batches import TokenIds

RESERVED_TOKENS = 64
"""Most tokens of an answer for which a batch reserves memory when it starts."""


class PaddedEngine:
    """An engine for one model.

    `shares_prefix` says whether rows may share a prefix and be padded, which is where every layer attends to all tokens
    before it. Models with sliding windows or recurrent layers get rows of equal length, each with its own prefix.
    """

    def __init__(self, native: NativeModel, limits: BatchLimits) -> None:
        self.native = native
        self.limits = limits
        self.layers = native.config.num_hidden_layers
        self.shares_prefix = all(type(layer) is DynamicLayer for layer in DynamicCache(config=native.config).layers)

    def prefix(self, ids: TokenIds) -> Prefix:
        """Return the keys and values of a prefix."""
        return self.native.prefix(ids)

    def decode(
        self, rows: Sequence[TokenIds], prefix: Prefix | None, max_new_tokens: int, choose: TokenChooser
    ) -> Iterator[None]:
        """Run all rows to their end, one batch after the other, and yield after each step.

        Once half of a batch's rows have finished, they are removed from it.
        """
        for numbers in self._batches([len(row) for row in rows], prefix, max_new_tokens):
            batch = self.start([rows[row] for row in numbers], prefix, max_new_tokens)
            logits = batch.first()
            finished: set[int] = set()
            tokens = [0] * len(numbers)
            while True:
                active = [index for index, row in enumerate(numbers) if row not in finished]
                chosen = choose([numbers[index] for index in active], logits[active, -1])
                for index, token in zip(active, chosen, strict=True):
                    if token is None:
                        finished.add(numbers[index])
                    else:
                        tokens[index] = token
                yield
                active = [index for index, row in enumerate(numbers) if row not in finished]
                if not active:
                    break
                if 2 * len(active) <= len(numbers):
                    batch.keep(active)
                    numbers, tokens = [numbers[index] for index in active], [tokens[index] for index in active]
                logits = batch.next(tokens)

    def logits(
        self, rows: Sequence[TokenIds], prefix: Prefix | None, keep: Sequence[int]
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield (row number, logits (keep, V) of its last `keep` tokens) for every row."""
        for numbers in self._batches([len(row) for row in rows], prefix, 0):
            logits = self.start([rows[row] for row in numbers], prefix, 0).first(max(keep[row] for row in numbers))
            for row, part in zip(numbers, logits, strict=True):
                yield row, part[-keep[row] :]

    def start(self, rows: Sequence[TokenIds], prefix: Prefix | None, max_new_tokens: int) -> "PaddedBatch":
        """Return a batch of rows after the prefix, not yet run."""
        if self.shares_prefix:
            cache = prefix_cache(prefix, self.layers, min(max_new_tokens, RESERVED_TOKENS))
        else:
            cache = DynamicCache(config=self.native.config)
        return PaddedBatch(self.native, rows, cache)

    def _batches(self, lengths: Sequence[int], prefix: Prefix | None, max_new_tokens: int) -> list[list[int]]:
        """Return which rows run together: rows of similar length, as many as the limits allow."""
        order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
        batches: list[list[int]] = []
        for row in order:
            longest = lengths[batches[-1][0]] if batches else 0
            fits = bool(batches) and len(batches[-1]) < self._max_rows(prefix, longest, max_new_tokens)
            if fits and (self.shares_prefix or lengths[row] == longest):
                batches[-1].append(row)
            else:
                batches.append([row])
        return batches

    def _max_rows(self, prefix: Prefix | None, longest: int, max_new_tokens: int) -> int:
        length = (prefix.length if prefix else 0) + longest + max_new_tokens
        return max(1, min(self.limits.rows(length), self.limits.tokens // longest))


class PaddedBatch:
    """A batch in progress: rows are padded on their left, so that the last token of each row comes last."""

    def __init__(self, native: NativeModel, rows: Sequence[TokenIds], cache: Cache) -> None:
        self.native = native
        self.cache = cache
        self.rows = rows
        self.prefix_length = cache.get_seq_length()
        lengths = torch.tensor([len(row) for row in rows])
        self.mask = torch.ones(len(rows), self.prefix_length + int(lengths.max()), dtype=torch.long)
        for index, row in enumerate(rows):
            self.mask[index, self.prefix_length : self.mask.shape[1] - len(row)] = 0
        self.ends = self.prefix_length + lengths

    @torch.inference_mode()
    def first(self, keep: int = 1) -> torch.Tensor:
        """Return logits (B, keep, V) of the last `keep` tokens of the rows."""
        width = self.mask.shape[1] - self.prefix_length
        ids = torch.tensor([[0] * (width - len(row)) + list(row) for row in self.rows])
        positions = (self.ends[:, None] - width + torch.arange(width)).clamp(min=0)
        return self.native.forward(ids, self.mask, positions, self.cache, keep)

    @torch.inference_mode()
    def next(self, tokens: Sequence[int]) -> torch.Tensor:
        """Return logits (B, 1, V) after one more token per row."""
        self.mask = torch.nn.functional.pad(self.mask, (0, 1), value=1)
        ids, positions = torch.tensor(tokens)[:, None], self.ends[:, None]
        self.ends = self.ends + 1
        return self.native.forward(ids, self.mask, positions, self.cache, 1)

    @torch.inference_mode()
    def keep(self, rows: Sequence[int]) -> None:
        """Continue with only these rows of the batch."""
        indices = torch.tensor(rows)
        self.mask, self.ends = self.mask[indices], self.ends[indices]
        self.cache.batch_select_indices(indices.to(self.native.model.device))
