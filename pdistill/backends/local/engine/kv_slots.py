"""Keys and values of the rows that are under way: each row has a slot, and slots are used again."""

from collections.abc import Sequence

import torch

KeyValues = tuple[torch.Tensor, torch.Tensor]
GROWTH_FACTOR = 1.5
"""By how much slots are made longer than is needed at once."""


class KVSlots:
    """The keys and values (S, K, T, D) of each layer: S rows, each with room for T tokens behind their prefix.

    Args:
        layers: how many layers the model has.
        count: rows that can be under way at one time.
        length: tokens of a row that there is room for without moving anything.
    """

    def __init__(self, layers: int, count: int, length: int) -> None:
        self.count = count
        self.length = length
        self._layers: list[KeyValues | None] = [None] * layers

    def write(
        self, layer: int, slots: torch.Tensor, places: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
    ) -> None:
        """Store keys and values (M, K, D) of M tokens, each at its place (M,) in its slot (M,)."""
        stored = self._layers[layer]
        if stored is None:
            stored = self._layers[layer] = (self._room(keys), self._room(values))
        for held, new in zip(stored, (keys, values), strict=True):
            held[slots, :, places] = new

    def read(self, layer: int, count: int, length: int) -> KeyValues:
        """Return keys and values (count, K, length, D) of the first slots; what was not written is finite."""
        stored = self._layers[layer]
        assert stored is not None
        return stored[0][:count, :, :length], stored[1][:count, :, :length]

    def copy(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        """Give slots what others hold."""
        for stored in self._layers:
            for held in stored or ():
                held[list(targets)] = held[list(sources)]

    def reserve(self, length: int) -> None:
        """Guarantee that rows may have so many tokens."""
        if length <= self.length:
            return
        longer = max(length, int(self.length * GROWTH_FACTOR))
        for i, stored in enumerate(self._layers):
            if stored is not None:
                keys, values = (torch.nn.functional.pad(held, (0, 0, 0, longer - self.length)) for held in stored)
                self._layers[i] = (keys, values)
        self.length = longer

    def keep(self, slots: Sequence[int]) -> None:
        """Keep only these slots, in this order."""
        self.count = len(slots)
        for i, stored in enumerate(self._layers):
            if stored is not None:
                indices = torch.tensor(slots, device=stored[0].device)
                self._layers[i] = (stored[0][indices], stored[1][indices])

    def _room(self, like: torch.Tensor) -> torch.Tensor:
        return like.new_zeros((self.count, like.shape[1], self.length, like.shape[2]))
