"""Keys and values of the rows in progress: each row has a slot, and slots are reused."""

from collections.abc import Sequence

import torch

from pdistill.backends.local.torch_engine.interface import KeyValues

GROWTH_FACTOR = 1.5
"""Slots that are too short become longer at least by this factor."""


class KVSlots:
    """The keys and values (S, K, T, D) of each layer: S rows, each with room for T tokens after their prefix.

    Args:
        layers: number of layers of the model.
        count: rows that can be in progress at one time.
        length: tokens per row that fit without moving anything.
    """

    def __init__(self, layers: int, count: int, length: int) -> None:
        self.count = count
        self.length = length
        self._layers: list[KeyValues | None] = [None] * layers

    def write(
        self, layer: int, slots: torch.Tensor, positions: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
    ) -> None:
        """Store keys and values (M, K, D) of M tokens, each at its position (M,) in its slot (M,)."""
        stored = self._layers[layer]
        if stored is None:
            stored = self._layers[layer] = (self._zeros(keys), self._zeros(values))
        for old, new in zip(stored, (keys, values), strict=True):
            old[slots, :, positions] = new

    def read(self, layer: int, count: int, length: int) -> KeyValues:
        """Return keys and values (count, K, length, D) of the first slots; what was never written is finite."""
        stored = self._layers[layer]
        assert stored is not None
        return stored[0][:count, :, :length], stored[1][:count, :, :length]

    def copy(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        """Copy the contents of slots to others."""
        for stored in self._layers:
            for states in stored or ():
                states[list(targets)] = states[list(sources)]

    def reserve(self, length: int) -> None:
        """Guarantee that rows may have this many tokens."""
        if length <= self.length:
            return
        new_length = max(length, int(self.length * GROWTH_FACTOR))
        for i, stored in enumerate(self._layers):
            if stored is not None:
                padding = (0, 0, 0, new_length - self.length)
                keys, values = (torch.nn.functional.pad(states, padding) for states in stored)
                self._layers[i] = (keys, values)
        self.length = new_length

    def keep(self, slots: Sequence[int]) -> None:
        """Keep only these slots, in this order."""
        self.count = len(slots)
        for i, stored in enumerate(self._layers):
            if stored is not None:
                indices = torch.tensor(slots, device=stored[0].device)
                self._layers[i] = (stored[0][indices], stored[1][indices])

    def _zeros(self, like: torch.Tensor) -> torch.Tensor:
        return like.new_zeros((self.count, like.shape[1], self.length, like.shape[2]))
