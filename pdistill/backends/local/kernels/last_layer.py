"""Runs a model's last layer where its output is wanted, and nowhere else."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


class LastLayer:
    """Guarantees that the layer runs, but for its attention's products before the scores, only at some places.

    Nothing that follows it looks at the others. It runs as ever outside of `at`.
    """

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self.places: Any = None
        self.normed: Any = None
        self.hooks = [
            layer.register_forward_pre_hook(self._enter, with_kwargs=True),
            layer.self_attn.register_forward_pre_hook(self._attend, with_kwargs=True),
            layer.self_attn.o_proj.register_forward_pre_hook(self._leave),
        ]

    @classmethod
    def of(cls, model: Any) -> "LastLayer | None":
        """Return the model's last layer, where it is one of the usual kind."""
        layers = getattr(model.base_model, "layers", None)
        layer = layers[-1] if layers else None
        usual = hasattr(layer, "input_layernorm") and hasattr(getattr(layer, "self_attn", None), "o_proj")
        return cls(layer) if usual else None

    @contextmanager
    def at(self, places: torch.Tensor) -> Iterator[None]:
        """Run it at these places (N,) of a packed row; its output is (1, N, D) meanwhile."""
        self.places = places
        try:
            yield
        finally:
            self.places = self.normed = None

    def remove(self) -> None:
        """Let the layer run as it did."""
        for hook in self.hooks:
            hook.remove()

    def _enter(self, _: Any, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if self.places is None:
            return None
        self.normed = self.layer.input_layernorm(given[0])
        return (given[0][:, self.places], *given[1:]), named

    def _attend(self, _: Any, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if self.places is None:
            return None
        return given, {**named, "hidden_states": self.normed}

    def _leave(self, _: Any, given: tuple[Any, ...]) -> Any:
        return None if self.places is None else (given[0][:, self.places],)
