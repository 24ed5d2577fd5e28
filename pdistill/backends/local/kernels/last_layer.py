"""Runs a model's last layer only at the positions whose output is wanted."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


class LastLayer:
    """Restricts a decoder layer to some positions of a packed row, except for the keys and values of its attention.

    Nothing after the layer reads the other positions. Outside of `at` it runs as usual.
    """

    def __init__(self, layer: Any) -> None:
        self.layer = layer
        self.positions: torch.Tensor | None = None
        self.attention_inputs: torch.Tensor | None = None
        self.hooks = [
            layer.register_forward_pre_hook(self._before_layer, with_kwargs=True),
            layer.self_attn.register_forward_pre_hook(self._before_attention, with_kwargs=True),
            layer.self_attn.o_proj.register_forward_pre_hook(self._before_output_projection),
        ]

    @classmethod
    def of(cls, model: Any) -> "LastLayer | None":
        """Return the model's last layer, or None where it is not of the usual kind."""
        layers = getattr(model.base_model, "layers", None)
        layer = layers[-1] if layers else None
        usual = hasattr(layer, "input_layernorm") and hasattr(getattr(layer, "self_attn", None), "o_proj")
        return cls(layer) if usual else None

    @contextmanager
    def at(self, positions: torch.Tensor) -> Iterator[None]:
        """Run the layer at these positions (N,) of a packed row, so that its output is (1, N, D)."""
        self.positions = positions
        try:
            yield
        finally:
            self.positions = self.attention_inputs = None

    def remove(self) -> None:
        """Let the layer run as it did before."""
        for hook in self.hooks:
            hook.remove()

    def _before_layer(self, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.positions is None:
            return None
        self.attention_inputs = self.layer.input_layernorm(args[0])
        return (args[0][:, self.positions], *args[1:]), kwargs

    def _before_attention(self, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.positions is None:
            return None
        return args, {**kwargs, "hidden_states": self.attention_inputs}

    def _before_output_projection(self, _: Any, args: tuple[torch.Tensor]) -> Any:
        return None if self.positions is None else (args[0][:, self.positions],)
