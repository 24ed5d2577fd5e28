"""A model's own forward pass, with transformers' key-value cache."""

import inspect
from typing import Any

import torch
from transformers.cache_utils import DynamicCache

from pdistill.backends.local.engine.kv_slots import KeyValues
from pdistill.backends.local.kernels.inference_linear import use_inference_linears
from pdistill.backends.local.model.adapter import shared_copy
from pdistill.core.batches import TokenIds
from pdistill.core.errors import BackendError


class NativeModel:
    """One model as transformers runs it, but for the products of its linear layers; the model stays as it is.

    Raises:
        BackendError: it has no key-value cache.
    """

    def __init__(self, model: Any, name: str) -> None:
        self.model = shared_copy(model)
        use_inference_linears(self.model)
        self.config = model.config.get_text_config()
        self.takes = set(inspect.signature(model.forward).parameters)
        self.cache_name = next((key for key in ("cache", "past_key_values") if key in self.takes), None)
        if self.cache_name is None:
            raise BackendError(f"model '{name}' ({type(model).__name__}) has no key-value cache; it can't be run here")

    @torch.inference_mode()
    def prefix(self, ids: TokenIds) -> list[KeyValues]:
        """Return keys and values (1, K, P, D) of each layer; a layer with a sliding window holds the last ones alone."""
        cache: Any = DynamicCache(config=self.config)
        self.forward(torch.tensor([ids]), None, torch.arange(len(ids))[None], cache, keep=1)
        return [(layer.keys.contiguous(), layer.values.contiguous()) for layer in cache.layers]

    @torch.inference_mode()
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
