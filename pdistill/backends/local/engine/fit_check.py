"""Tries the cascade on a model before it is used: its logits must be those of the model's own forward pass."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers.cache_utils import DynamicCache

from pdistill.backends.local.engine.cascade import CascadeEngine, UnfitError
from pdistill.backends.local.engine.native_model import NativeModel

PREFIX_TOKENS, ROW_TOKENS, NEXT_TOKEN = 7, (3, 2), 5
"""Tokens of the trial: a prefix, two rows, one token after each."""
MAX_ERROR_FLOAT32, MAX_ERROR_16_BIT = 1e-3, 0.1
"""Largest difference of logits, as a share of the largest logit: in float32, and in types of 16 bits."""
FAILURES = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def check_fit(cascade: CascadeEngine, native: NativeModel) -> CascadeEngine:
    """Return the cascade, tried.

    Raises:
        UnfitError: it can't run the model, or gives other logits than the model itself.
    """
    vocabulary = native.config.vocab_size
    tokens = [(1 + 37 * i) % vocabulary for i in range(PREFIX_TOKENS + sum(ROW_TOKENS))]
    prefix, first, second = (
        tokens[:PREFIX_TOKENS],
        tokens[PREFIX_TOKENS : PREFIX_TOKENS + ROW_TOKENS[0]],
        tokens[PREFIX_TOKENS + ROW_TOKENS[0] :],
    )
    more = NEXT_TOKEN % vocabulary
    try:
        given = _run(cascade, prefix, [first, second], more)
    except FAILURES as error:
        raise UnfitError(str(error).partition("\n")[0] or type(error).__name__) from None
    expected = [_alone(native, [*prefix, *row, more]) for row in (first, second)]
    _compare(given, torch.cat([logits[-2:] for logits in expected]), native)
    _check_windows(cascade, native)
    return cascade


def _run(cascade: CascadeEngine, prefix: list[int], rows: list[list[int]], more: int) -> torch.Tensor:
    """Return the logits (4, V) after each row, and after one token more."""
    seen: dict[int, list[torch.Tensor]] = {0: [], 1: []}

    def choose(numbers: Sequence[int], logits: torch.Tensor) -> list[int | None]:
        for number, row in zip(numbers, logits, strict=True):
            seen[number].append(row)
        return [more if len(seen[number]) == 1 else None for number in numbers]

    for _ in cascade.answers(rows, cascade.prefix(prefix), len(prefix), 2, choose):
        pass
    return torch.stack([*seen[0], *seen[1]])


def _alone(native: NativeModel, ids: list[int]) -> torch.Tensor:
    cache: Any = DynamicCache(config=native.config)
    return native.forward(torch.tensor([ids]), None, torch.arange(len(ids))[None], cache, keep=2)[0]


def _compare(given: torch.Tensor, expected: torch.Tensor, native: NativeModel) -> None:
    most = MAX_ERROR_FLOAT32 if native.model.dtype == torch.float32 else MAX_ERROR_16_BIT
    difference = (given.float() - expected.float()).abs().max() / expected.float().abs().max()
    if not bool(difference <= most):
        raise UnfitError(f"its logits differ by a share of {difference.item():.2g}")


def _check_windows(cascade: CascadeEngine, native: NativeModel) -> None:
    """Guarantee that every layer asks for the window that its cache keeps, too wide for the trial to show."""
    kept = {
        i: getattr(layer, "sliding_window", None) for i, layer in enumerate(DynamicCache(config=native.config).layers)
    }
    if cascade.windows != kept:
        raise UnfitError("its layers see other tokens than their sliding windows say")
