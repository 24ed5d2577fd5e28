"""A model together with the engine that runs it: the cascade where the model fits it, or else padded batches."""

import logging
from typing import Any

from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from pdistill.backends.local.kernels.fit import UnfitError
from pdistill.backends.local.torch_engine.batch_limits import batch_limits
from pdistill.backends.local.torch_engine.cascade import CascadeEngine
from pdistill.backends.local.torch_engine.fit_check import check_fit
from pdistill.backends.local.torch_engine.interface import Prefix, TorchEngine
from pdistill.backends.local.torch_engine.native_model import NativeModel
from pdistill.backends.local.torch_engine.padded_engine import PaddedEngine
from pdistill.core.contract.batches import TokenIds

log = logging.getLogger("pdistill")
_warned: set[str] = set()


class Decoder:
    """One model, ready to decode.

    `shares_prefix` says whether rows may share a prefix: not where a model has recurrent layers, or sliding windows that
    the cascade can't run.
    """

    def __init__(self, model: Any, name: str) -> None:
        self.model = model
        self.native = NativeModel(model, name)
        self.engine: TorchEngine
        layers = DynamicCache(config=self.native.config).layers
        try:
            if not all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers):
                raise UnfitError("some of its layers are not attention")
            self.engine = check_fit(CascadeEngine(model, batch_limits(model)), self.native)
            self.shares_prefix = True
        except UnfitError as reason:
            self.engine = PaddedEngine(self.native, batch_limits(model))
            self.shares_prefix = self.engine.shares_prefix
            if name not in _warned:
                _warned.add(name)
                log.warning(
                    "model '%s' runs on the slower engine, with one copy of the prompt per row: %s", name, reason
                )
        self._cached: tuple[TokenIds, Prefix] | None = None

    def prefix(self, ids: TokenIds) -> Prefix | None:
        """Return the keys and values of a prefix, which are cached until another one is asked for; None if it is empty."""
        if not ids:
            return None
        if self._cached is None or list(self._cached[0]) != list(ids):
            self._cached = (ids, self.engine.prefix(ids))
        return self._cached[1]
