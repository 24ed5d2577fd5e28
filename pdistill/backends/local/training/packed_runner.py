"""Runs packed training rows: rows laid end to end without padding, with logits only where there is a loss."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import chain
from typing import Any

import torch
from torch import nn

from pdistill.backends.local.kernels import packed_attention
from pdistill.backends.local.kernels.buckets import round_up_to_bucket
from pdistill.backends.local.kernels.cross_entropy import cross_entropy
from pdistill.backends.local.kernels.fit import UnfitError, cache_windows, check_logits, check_windows
from pdistill.backends.local.kernels.last_layer import LastLayer
from pdistill.backends.local.kernels.lora_linear import use_fast_lora_layers
from pdistill.backends.local.kernels.packed_attention import Tiles
from pdistill.backends.local.kernels.rms_norm import use_fast_rms_norms
from pdistill.core.contract.batches import HardRow, TokenIds

TOKEN_BUCKETS_PER_DOUBLING, TRAINED_BUCKETS_PER_DOUBLING = 4, 2
"""Sizes, between one power of two and the next, of a part's tokens and of its trained positions: every size takes memory."""
FIT_CHECK_ROW_TOKENS = (9, 3, 14)
"""Lengths of the rows on which a student is tested."""
FAILURES = (ArithmeticError, AttributeError, ImportError, LookupError, RuntimeError, TypeError, ValueError)


class PackedRunner:
    """Runs a student over packed rows.

    Args:
        student: a model with an adapter on it, whose layers are replaced with faster ones.

    Raises:
        UnfitError: the student can't run packed rows, or gives other logits than on plain ones.
    """

    def __init__(self, student: Any) -> None:
        self.student = student
        self.model = student.get_base_model()
        self.device = student.device
        self.max_trained = math.inf
        self.config = self.model.config.get_text_config()
        self.softcap = getattr(self.config, "final_logit_softcapping", None)
        rows = _fit_check_rows(self.config.vocab_size)
        attention_before = self.model.config._attn_implementation
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
                self.model.set_attn_implementation(attention_before)
                if self.last is not None:
                    self.last.remove()
                raise UnfitError(str(error).partition("\n")[0] or type(error).__name__) from None

    def size(self, lengths: Sequence[int]) -> int:
        """Return how many tokens rows of these lengths take."""
        return round_up_to_bucket(sum(lengths), TOKEN_BUCKETS_PER_DOUBLING)

    def backward(self, rows: Sequence[HardRow]) -> float:
        """Return the rows' share of the loss in nats, and add their share of the gradient."""
        targets = list(chain.from_iterable(row.targets for row in rows))
        weights = list(chain.from_iterable(row.weights for row in rows))
        trained = [position for position, weight in enumerate(weights) if weight]
        if not trained:
            return 0.0
        padding = round_up_to_bucket(len(trained), TRAINED_BUCKETS_PER_DOUBLING) - len(trained)
        trained_weights = [*(weights[position] for position in trained), *[0.0] * padding]
        trained += trained[-1:] * padding
        with self._at(trained) as positions:
            loss = cross_entropy(
                self._hidden([row.ids for row in rows], positions),
                self.student.get_output_embeddings(),
                self.softcap,
                torch.tensor([targets[position] for position in trained], device=self.device),
                torch.tensor(trained_weights, dtype=torch.float32, device=self.device),
            )
            torch.autograd.backward(loss)
        return loss.item()

    @contextmanager
    def _at(self, positions: Sequence[int]) -> Iterator[torch.Tensor]:
        """Yield the positions as a tensor; the last layer runs only there."""
        tensor = torch.tensor(positions, device=self.device)
        with nullcontext() if self.last is None else self.last.at(tensor):
            yield tensor

    def _hidden(self, rows: Sequence[TokenIds], positions: torch.Tensor) -> torch.Tensor:
        """Return hidden states (N, D) before the output layer, at these positions of the packed rows."""
        lengths = [len(row) for row in rows]
        padding = self.size(lengths) - sum(lengths)
        ids = [*chain.from_iterable(rows), *[0] * padding]
        lengths += [padding] if padding else []
        self.tiles = Tiles(lengths)
        position_ids = list(chain.from_iterable(range(length) for length in lengths))
        states: torch.Tensor = self.model.base_model(
            input_ids=torch.tensor([ids], device=self.device),
            position_ids=torch.tensor([position_ids], device=self.device),
            use_cache=False,
            tiles=self.tiles,
        ).last_hidden_state[0]
        return states if self.last is not None else states[positions]

    def _check_fit(self, rows: Sequence[TokenIds], expected: torch.Tensor) -> None:
        ends = torch.tensor([len(row) for row in rows]).cumsum(0)
        with self._at((ends - 1).tolist()) as positions:
            logits = self.student.get_output_embeddings()(self._hidden(rows, positions)).float()
        if self.softcap is not None:
            logits = (logits / self.softcap).tanh() * self.softcap
        check_logits(logits, expected, self.model.dtype)
        windows = {number: window for number, window in cache_windows(self.config).items() if window is not None}
        check_windows(self.tiles.windows, windows)


def _fit_check_rows(vocabulary: int) -> list[list[int]]:
    tokens = iter((1 + 37 * i) % vocabulary for i in range(sum(FIT_CHECK_ROW_TOKENS)))
    return [[next(tokens) for _ in range(length)] for length in FIT_CHECK_ROW_TOKENS]
