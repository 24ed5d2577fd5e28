"""Runs a model over batches of rows of tokens that share a prefix."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

from pdistill.backends.local.cache import KeyValues, prefixed
from pdistill.core.batches import TokenIds
from pdistill.core.errors import BackendError

CPU_TOKENS, GPU_TOKENS = 1024, 16384
CPU_KEY_VALUES, GPU_KEY_VALUES = 512 << 20, 4 << 30
"""Tokens behind the prefix that a batch may have, and bytes of keys and values.

Few tokens are faster on a CPU: what one layer leaves is still in its cache for the next (measured: 1,024 bare queries of 50
tokens took 2.7 times as long in batches of 256 as in batches of 16).
"""
ROOM = 64


class Decoder:
    """One model whose batches are chosen and run here.

    `shares` says whether rows may share a prefix and be padded: so it is where every layer attends to all tokens
    before it. Models with sliding windows or recurrent layers get rows of equal length, each with its own prefix.
    """

    def __init__(self, model: Any, name: str) -> None:
        self.model = model
        self.takes = set(inspect.signature(model.forward).parameters)
        self.cache_name = next((key for key in ("cache", "past_key_values") if key in self.takes), None)
        if self.cache_name is None:
            raise BackendError(f"model '{name}' ({type(model).__name__}) has no key-value cache; it can't be run here")
        self.config = model.config.get_text_config()
        layers = DynamicCache(config=self.config).layers
        self.shares = all(type(layer) is DynamicLayer for layer in layers)
        self.layers = self.config.num_hidden_layers
        self._prefix: tuple[TokenIds, list[KeyValues]] | None = None

    @torch.inference_mode()
    def prefix(self, ids: TokenIds) -> list[KeyValues] | None:
        """Return the keys and values of a prefix, computed once for as long as the same one is asked for."""
        if not ids:
            return None
        if self._prefix is None or list(self._prefix[0]) != list(ids):
            cache: Any = DynamicCache(config=self.config)
            self.forward(torch.tensor([ids]), None, torch.arange(len(ids))[None], cache, keep=1)
            self._prefix = (ids, [(layer.keys, layer.values) for layer in cache.layers])
        return self._prefix[1]

    def batches(self, lengths: Sequence[int], prefix: int, room: int) -> list[list[int]]:
        """Return which rows run together: rows of like length, as many as the bytes for keys and values allow."""
        order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
        batches: list[list[int]] = []
        for row in order:
            longest = lengths[batches[-1][0]] if batches else 0
            fits = len(batches[-1]) < self._most_rows(prefix, longest, room) if batches else False
            if fits and (self.shares or lengths[row] == longest):
                batches[-1].append(row)
            else:
                batches.append([row])
        return batches

    def start(self, rows: Sequence[TokenIds], prefix: list[KeyValues] | None, room: int) -> "Running":
        """Return a batch of rows behind the prefix, not yet run."""
        cache = prefixed(prefix, self.layers, min(room, ROOM)) if self.shares else DynamicCache(config=self.config)
        return Running(self, rows, cache)

    def forward(
        self, ids: torch.Tensor, mask: torch.Tensor | None, positions: torch.Tensor, cache: Any, keep: int
    ) -> torch.Tensor:
        """Return logits (B, keep, V) of the last `keep` tokens of ids (B, N); the cache takes their keys and values."""
        device = self.model.device
        arguments: dict[str, Any] = {"input_ids": ids.to(device), "use_cache": True, str(self.cache_name): cache}
        if mask is not None:
            arguments["attention_mask"] = mask.to(device)
        if "position_ids" in self.takes:
            arguments["position_ids"] = positions.to(device)
        if "logits_to_keep" in self.takes:
            arguments["logits_to_keep"] = keep
        logits: torch.Tensor = self.model(**arguments).logits
        return logits[:, -keep:]

    def _most_rows(self, prefix: int, longest: int, room: int) -> int:
        config, on_cpu = self.config, self.model.device.type == "cpu"
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        token = 2 * self.layers * heads * size * self.model.dtype.itemsize
        by_bytes = (CPU_KEY_VALUES if on_cpu else GPU_KEY_VALUES) // (token * (prefix + longest + room))
        by_tokens = (CPU_TOKENS if on_cpu else GPU_TOKENS) // longest
        return int(max(1, min(by_bytes, by_tokens)))


class Running:
    """A batch under way: rows are padded on their left, so that the last token of each row comes last."""

    def __init__(self, decoder: Decoder, rows: Sequence[TokenIds], cache: Any) -> None:
        self.decoder = decoder
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
        return self.decoder.forward(ids, self.mask, positions, self.cache, keep)

    @torch.inference_mode()
    def then(self, tokens: Sequence[int]) -> torch.Tensor:
        """Return logits (B, 1, V) after one more token a row."""
        self.mask = torch.nn.functional.pad(self.mask, (0, 1), value=1)
        ids, positions = torch.tensor(tokens)[:, None], self.ends[:, None]
        self.ends = self.ends + 1
        return self.decoder.forward(ids, self.mask, positions, self.cache, 1)

    @torch.inference_mode()
    def keep(self, places: Sequence[int]) -> None:
        """Go on with only these rows of the batch."""
        indices = torch.tensor(places)
        self.mask, self.ends = self.mask[indices], self.ends[indices]
        self.cache.batch_select_indices(indices.to(self.decoder.model.device))
