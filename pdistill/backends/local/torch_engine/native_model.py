"""A model's own forward pass, with transformers' key-value cache."""

import inspect
from typing import Any

import torch
from transformers.cache_utils import Cache, DynamicCache

from pdistill.backends.local.kernels.inference_linear import use_inference_linears
from pdistill.backends.local.model.adapter import shared_copy
from pdistill.backends.local.torch_engine.interface import Prefix
from pdistill.core.contract.batches import TokenIds
from pdistill.core.errors import BackendError


class NativeModel:
    """One model as transformers runs it, except for the products of its linear layers; the model itself is not changed.

    Raises:
        BackendError: it has no key-value cache.
    """

    def __init__(self, model: Any, name: str) -> None:
        self.model = shared_copy(model)
        use_inference_linears(self.model)
        self.config = model.config.get_text_config()
        self.parameters = set(inspect.signature(model.forward).parameters)
        self.cache_name = next((key for key in ("cache", "past_key_values") if key in self.parameters), None)
        if self.cache_name is None:
            raise BackendError(f"model '{name}' ({type(model).__name__}) can't be run: it has no key-value cache")

    @torch.inference_mode()
    def prefix(self, ids: TokenIds) -> Prefix:
        """Return the keys and values of a prefix."""
        cache = DynamicCache(config=self.config)
        self.forward(torch.tensor([ids]), None, torch.arange(len(ids))[None], cache, keep=1)
        layers: list[Any] = cache.layers
        return Prefix([(layer.keys.contiguous(), layer.values.contiguous()) for layer in layers], len(ids))

    @torch.inference_mode()
    def forward(
        self, ids: torch.Tensor, mask: torch.Tensor | None, positions: torch.Tensor, cache: Cache, keep: int
    ) -> torch.Tensor:
        """Return logits (B, keep, V) of the last `keep` tokens of ids (B, N); the cache takes their keys and values."""
        device = self.model.device
        arguments: dict[str, Any] = {"input_ids": ids.to(device), "use_cache": True, str(self.cache_name): cache}
        if mask is not None:
            arguments["attention_mask"] = mask.to(device)
        if "position_ids" in self.parameters:
            arguments["position_ids"] = positions.to(device)
        if "logits_to_keep" in self.parameters:
            arguments["logits_to_keep"] = keep
        logits: torch.Tensor = self.model(**arguments).logits
        return logits[:, -keep:]
