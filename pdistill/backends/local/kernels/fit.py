"""Whether a faster forward pass may replace the model's own: it must give the same logits and use the same windows."""

from collections.abc import Mapping
from typing import Any

import torch
from transformers.cache_utils import DynamicCache

MAX_ERROR_FLOAT32, MAX_ERROR_16_BIT = 1e-3, 0.1
"""Largest difference of logits, as a fraction of the largest logit: in float32, and in 16-bit types."""


class UnfitError(Exception):
    """A model cannot be run in this way; whoever tries it falls back to another one."""


def check_logits(logits: torch.Tensor, expected: torch.Tensor, dtype: torch.dtype) -> None:
    """Check logits of a model that computes in `dtype` against those of its own forward pass.

    Raises:
        UnfitError: they differ by more than rounding explains.
    """
    limit = MAX_ERROR_FLOAT32 if dtype == torch.float32 else MAX_ERROR_16_BIT
    difference = (logits.float() - expected.float()).abs().max() / expected.float().abs().max()
    if not bool(difference <= limit):
        raise UnfitError(f"its logits differ by a fraction of {difference.item():.2g}")


def check_windows(windows: Mapping[int, int | None], expected: Mapping[int, int | None]) -> None:
    """Check the sliding windows that layers use, which are too wide to show in a few logits.

    Raises:
        UnfitError: a layer uses another window than expected.
    """
    if windows != expected:
        raise UnfitError("its layers see other tokens than their sliding windows say")


def cache_windows(config: Any) -> dict[int, int | None]:
    """Return the sliding window that each layer's cache keeps, by layer number; None where it keeps all tokens."""
    layers = DynamicCache(config=config).layers
    return {number: getattr(layer, "sliding_window", None) for number, layer in enumerate(layers)}
