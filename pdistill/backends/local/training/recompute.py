"""Activation recomputation: the backward pass computes a layer's activations again instead of keeping them."""

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer


def recompute_layers(student: nn.Module) -> int:
    """Make the student's layers keep only their input for the backward pass, and return how many there are."""
    layers: list[Any] = [module for module in student.modules() if isinstance(module, GradientCheckpointingLayer)]
    for layer in layers:
        layer.forward = _checkpoint(layer.forward)
    return len(layers)


def _checkpoint(forward: Callable[..., Any]) -> Callable[..., Any]:
    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        return checkpoint(forward, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)

    return checkpointed
