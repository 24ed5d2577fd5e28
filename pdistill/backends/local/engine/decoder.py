"""One model with the engine that runs it: behind a prompt that is stored once where the model fits that, else expanded."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from pdistill.backends.local.engine.batch_limits import batch_limits
from pdistill.backends.local.engine.cascade import CascadeEngine, TokenChooser, UnfitError
from pdistill.backends.local.engine.fit_check import check_fit
from pdistill.backends.local.engine.kv_slots import KeyValues
from pdistill.backends.local.engine.native_model import NativeModel
from pdistill.backends.local.engine.padded_engine import PaddedEngine
from pdistill.core.batches import TokenIds

log = logging.getLogger("pdistill")
_warned: set[str] = set()


class Engine(Protocol):
    """What runs rows of tokens behind a prefix."""

    def prefix(self, ids: TokenIds) -> list[KeyValues]:
        """Return keys and values (1, K, P, D) of each layer; a layer with a sliding window holds the last ones alone."""

    def answers(
        self, rows: Sequence[TokenIds], prefix: Sequence[KeyValues] | None, before: int, room: int, choose: TokenChooser
    ) -> Iterator[None]:
        """Run all rows to their end, each as long as `choose` gives it tokens, and yield after every step."""

    def logits(
        self, rows: Sequence[TokenIds], prefix: Sequence[KeyValues] | None, before: int, keep: Sequence[int]
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield (number of the row, logits (keep, V) after its last `keep` tokens) for every row."""


class Decoder:
    """One model as it is run here.

    `shares_prefix` says whether rows may share a prefix: not where a model has recurrent layers, or sliding windows that
    the cascade does not fit.
    """

    def __init__(self, model: Any, name: str) -> None:
        self.model = model
        self.native = NativeModel(model, name)
        self.engine: Engine
        layers = DynamicCache(config=self.native.config).layers
        try:
            if not all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers):
                raise UnfitError("it has layers of another kind than attention")
            self.engine = check_fit(CascadeEngine(model, batch_limits(model)), self.native)
            self.shares_prefix = True
        except UnfitError as reason:
            self.engine = PaddedEngine(self.native, batch_limits(model))
            self.shares_prefix = self.engine.shares_prefix
            if name not in _warned:
                _warned.add(name)
                log.warning("model '%s' runs slower than it could, with a copy of the prompt a row: %s", name, reason)
        self._prefix: tuple[TokenIds, list[KeyValues]] | None = None

    def prefix(self, ids: TokenIds) -> list[KeyValues] | None:
        """Return the keys and values of a prefix, computed once for as long as the same one is asked for."""
        if not ids:
            return None
        if self._prefix is None or list(self._prefix[0]) != list(ids):
            self._prefix = (ids, self.engine.prefix(ids))
        return self._prefix[1]
