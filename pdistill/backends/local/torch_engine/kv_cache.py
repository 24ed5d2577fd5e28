"""Keys and values of a padded batch after one shared prefix: the prefix is copied in once, new tokens are written in place."""

from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

from pdistill.backends.local.torch_engine.interface import KeyValues, Prefix

GROWTH_TOKENS = 64
"""Tokens by which a full layer grows."""


class PrefixCacheLayer(CacheLayerMixin):  # type: ignore[no-untyped-call]
    """The keys and values (B, H, T, D) of one attention layer.

    Args:
        prefix: keys and values (1, H, P, D) of the shared prefix; None where there is none.
        reserved: tokens after the first forward pass that fit without moving anything.
    """

    def __init__(self, prefix: KeyValues | None, reserved: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.prefix = prefix
        self.reserved = reserved
        self.length = 0 if prefix is None else prefix[0].shape[-2]

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Allocate memory for a batch like the given keys and values, and copy the prefix in."""
        total = self.length + key_states.shape[-2] + self.reserved
        self.keys, self.values = _empty(key_states, total), _empty(value_states, total)
        if self.prefix is not None:
            self.keys[:, :, : self.length] = self.prefix[0]
            self.values[:, :, : self.length] = self.prefix[1]
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write new keys and values (B, H, N, D); return all of them (B, H, T + N, D)."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None
        assert self.values is not None
        end = self.length + key_states.shape[-2]
        if end > self.keys.shape[-2]:
            self.keys, self.values = (
                _enlarge(states, end + GROWTH_TOKENS, self.length) for states in (self.keys, self.values)
            )
        self.keys[:, :, self.length : end] = key_states
        self.values[:, :, self.length : end] = value_states
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return how many keys the next `query_length` tokens see, and where they begin."""
        return self.length + query_length, 0

    def get_seq_length(self) -> int:
        """Return the number of tokens in the cache."""
        return self.length

    def get_max_length(self) -> int:
        """Return -1: there is no limit."""
        return -1

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep only these rows of the batch."""
        if self.keys is not None and self.values is not None:
            self.keys, self.values = self.keys[indices], self.values[indices]


def prefix_cache(prefix: Prefix | None, layers: int, reserved: int) -> Cache:
    """Return a cache for a model with that many layers, which begins with the prefix."""
    return Cache(layers=[PrefixCacheLayer(prefix.layers[i] if prefix else None, reserved) for i in range(layers)])


def _empty(like: torch.Tensor, total: int) -> torch.Tensor:
    return like.new_empty((*like.shape[:2], total, like.shape[-1]))


def _enlarge(states: torch.Tensor, total: int, length: int) -> torch.Tensor:
    enlarged = _empty(states, total)
    enlarged[:, :, :length] = states[:, :, :length]
    return enlarged
