"""Tests the cascade on a model before it is used: its logits must be those of the model's own forward pass."""

from collections.abc import Sequence

import torch
from transformers.cache_utils import DynamicCache

from pdistill.backends.local.kernels.fit import UnfitError, cache_windows, check_logits, check_windows
from pdistill.backends.local.torch_engine.cascade import CascadeEngine
from pdistill.backends.local.torch_engine.native_model import NativeModel

PREFIX_TOKENS, ROW_TOKENS = 7, (3, 2)
"""Lengths of the prefix and of the two rows that are run."""
NEXT_TOKEN = 5
"""The token that is run after each row."""
FAILURES = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def check_fit(cascade: CascadeEngine, native: NativeModel) -> CascadeEngine:
    """Return the cascade, tested.

    Raises:
        UnfitError: it can't run the model, or gives other logits than the model itself.
    """
    vocabulary = native.config.vocab_size
    tokens = [(1 + 37 * i) % vocabulary for i in range(PREFIX_TOKENS + sum(ROW_TOKENS))]
    prefix, rest = tokens[:PREFIX_TOKENS], tokens[PREFIX_TOKENS:]
    rows = [rest[: ROW_TOKENS[0]], rest[ROW_TOKENS[0] :]]
    next_token = NEXT_TOKEN % vocabulary
    try:
        logits = _cascade_logits(cascade, prefix, rows, next_token)
    except FAILURES as error:
        raise UnfitError(str(error).partition("\n")[0] or type(error).__name__) from None
    expected = [_native_logits(native, [*prefix, *row, next_token]) for row in rows]
    check_logits(logits, torch.cat([part[-2:] for part in expected]), native.model.dtype)
    check_windows(cascade.windows, cache_windows(native.config))
    return cascade


def _cascade_logits(cascade: CascadeEngine, prefix: list[int], rows: list[list[int]], next_token: int) -> torch.Tensor:
    """Return the logits (4, V) after each row, and after one more token."""
    logits_of: dict[int, list[torch.Tensor]] = {0: [], 1: []}

    def choose(numbers: Sequence[int], logits: torch.Tensor) -> list[int | None]:
        for number, row in zip(numbers, logits, strict=True):
            logits_of[number].append(row)
        return [next_token if len(logits_of[number]) == 1 else None for number in numbers]

    for _ in cascade.decode(rows, cascade.prefix(prefix), 2, choose):
        pass
    return torch.stack([*logits_of[0], *logits_of[1]])


def _native_logits(native: NativeModel, ids: list[int]) -> torch.Tensor:
    cache = DynamicCache(config=native.config)
    return native.forward(torch.tensor([ids]), None, torch.arange(len(ids))[None], cache, keep=2)[0]
