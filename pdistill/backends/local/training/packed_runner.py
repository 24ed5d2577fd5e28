"""Training on packed rows: rows laid end to end without padding, logits only where the loss is."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import chain
from typing import Any

import torch
from torch import nn
from transformers.cache_utils import DynamicCache

from pdistill.backends.local.kernels import packed_attention
from pdistill.backends.local.kernels.buckets import round_up_to_bucket
from pdistill.backends.local.kernels.cross_entropy import cross_entropy
from pdistill.backends.local.kernels.last_layer import LastLayer
from pdistill.backends.local.kernels.lora_linear import use_fast_lora_layers
from pdistill.backends.local.kernels.packed_attention import Tiles
from pdistill.backends.local.kernels.rms_norm import use_fast_rms_norms
from pdistill.core.batches import HardRow, TokenIds

TOKEN_BUCKETS_PER_DOUBLING, TRAINED_BUCKETS_PER_DOUBLING = 4, 2
"""Sizes of a part of a batch, and of the places in it with a loss, from one power of two to the next: kernels take memory."""
FIT_CHECK_ROW_TOKENS = (9, 3, 14)
"""Tokens of the rows on which a student is tried."""
MAX_ERROR_FLOAT32, MAX_ERROR_16_BIT = 1e-3, 0.1
"""Largest difference of logits, as a share of the largest logit: in float32, and in types of 16 bits."""
FAILURES = (ArithmeticError, AttributeError, ImportError, LookupError, RuntimeError, TypeError, ValueError)


class UnfitError(Exception):
    """A student can't be run on packed rows."""


class PackedRunner:
    """Runs a student over packed rows.

    Args:
        student: a model with an adapter on it; its layers are made faster.

    Raises:
        UnfitError: the student does not take packed rows, or answers differently than on plain ones.
    """

    def __init__(self, student: Any) -> None:
        self.student = student
        self.model = student.get_base_model()
        self.device = student.device
        self.max_trained = math.inf
        self.cap = getattr(self.model.config.get_text_config(), "final_logit_softcapping", None)
        rows = _fit_check_rows(self.model.config.get_text_config().vocab_size)
        before = self.model.config._attn_implementation
        self.last: LastLayer | None = None
        with torch.no_grad():
            expected = [student(input_ids=torch.tensor([row], device=self.device)).logits[0, -1] for row in rows]
            try:
                if type(student.get_output_embeddings()) is not nn.Linear:
                    raise UnfitError("its output layer is trained, or of another kind")
                self.model.set_attn_implementation(packed_attention.ATTENTION_NAME)
                use_fast_lora_layers(student)
                use_fast_rms_norms(student)
                self.last = LastLayer.of(self.model)
                self._check_fit(rows, torch.stack(expected).float())
            except (*FAILURES, UnfitError) as error:
                self.model.set_attn_implementation(before)
                if self.last is not None:
                    self.last.remove()
                raise UnfitError(str(error).partition("\n")[0] or type(error).__name__) from None

    def size(self, lengths: Sequence[int]) -> int:
        """Return how many tokens rows of these lengths take."""
        return round_up_to_bucket(sum(lengths), TOKEN_BUCKETS_PER_DOUBLING)

    def backward(self, rows: Sequence[HardRow]) -> float:
        """Return the rows' share of the loss in nats; adds their share of the gradient."""
        targets = list(chain.from_iterable(row.targets for row in rows))
        weights = list(chain.from_iterable(row.weights for row in rows))
        trained = [place for place, weight in enumerate(weights) if weight]
        if not trained:
            return 0.0
        filling = round_up_to_bucket(len(trained), TRAINED_BUCKETS_PER_DOUBLING) - len(trained)
        weighted = [*(weights[place] for place in trained), *[0.0] * filling]
        trained += trained[-1:] * filling
        with self._at(trained) as places:
            loss = cross_entropy(
                self._hidden([row.ids for row in rows], places),
                self.student.get_output_embeddings(),
                self.cap,
                torch.tensor([targets[place] for place in trained], device=self.device),
                torch.tensor(weighted, dtype=torch.float32, device=self.device),
            )
            torch.autograd.backward(loss)
        return loss.item()

    @contextmanager
    def _at(self, places: Sequence[int]) -> Iterator[torch.Tensor]:
        """Give the places as a tensor; meanwhile the last layer runs only there."""
        wanted = torch.tensor(places, device=self.device)
        with nullcontext() if self.last is None else self.last.at(wanted):
            yield wanted

    def _hidden(self, rows: Sequence[TokenIds], places: torch.Tensor) -> torch.Tensor:
        """Return hidden states (N, D) before the output layer, at these places of the rows laid end to end."""
        lengths = [len(row) for row in rows]
        filling = self.size(lengths) - sum(lengths)
        ids = [*chain.from_iterable(rows), *[0] * filling]
        lengths += [filling] if filling else []
        self.tiles = Tiles(lengths)
        positions = list(chain.from_iterable(range(length) for length in lengths))
        states: torch.Tensor = self.model.base_model(
            input_ids=torch.tensor([ids], device=self.device),
            position_ids=torch.tensor([positions], device=self.device),
            use_cache=False,
            tiles=self.tiles,
        ).last_hidden_state[0]
        return states if self.last is not None else states[places]

    def _check_fit(self, rows: Sequence[TokenIds], expected: torch.Tensor) -> None:
        ends = torch.tensor([len(row) for row in rows]).cumsum(0)
        with self._at((ends - 1).tolist()) as places:
            logits = self.student.get_output_embeddings()(self._hidden(rows, places)).float()
        if self.cap is not None:
            logits = (logits / self.cap).tanh() * self.cap
        most = MAX_ERROR_FLOAT32 if self.model.dtype == torch.float32 else MAX_ERROR_16_BIT
        difference = (logits - expected).abs().max() / expected.abs().max()
        if not bool(difference <= most):
            raise UnfitError(f"its logits differ by a share of {difference.item():.2g}")
        layers = enumerate(DynamicCache(config=self.model.config.get_text_config()).layers)
        windows = {number: getattr(layer, "sliding_window", None) for number, layer in layers}
        if self.tiles.windows != {number: window for number, window in windows.items() if window is not None}:
            raise UnfitError("its layers see other tokens than their sliding windows say")


def _fit_check_rows(vocabulary: int) -> list[list[int]]:
    tokens = iter((1 + 37 * i) % vocabulary for i in range(sum(FIT_CHECK_ROW_TOKENS)))
    return [[next(tokens) for _ in range(length)] for length in FIT_CHECK_ROW_TOKENS]
