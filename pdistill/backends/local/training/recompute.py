"""Backward passes that compute a layer's activations again instead of keeping them."""

from collections.abc import Callable
from typing import Any

from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer


def recompute_layers(student: Any) -> int:
    """Return how many layers of the student keep nothing but their input for the backward pass from now on."""
    layers: list[Any] = [module for module in student.modules() if isinstance(module, GradientCheckpointingLayer)]
    for layer in layers:
        layer.forward = _checkpointed(layer.forward)
    return len(layers)


def _checkpointed(forward: Callable[..., Any]) -> Callable[..., Any]:
    def again(*given: Any, **named: Any) -> Any:
        return checkpoint(forward, *given, use_reentrant=False, preserve_rng_state=False, **named)

    return again
