"""Trains LoRA students on hard targets: cross-entropy, AdamW, one optimizer step per batch however it is split."""

import logging
import math
import shutil
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import torch

from pdistill.backends.local.kernels.fit import UnfitError
from pdistill.backends.local.model import adapter
from pdistill.backends.local.training.packed_runner import PackedRunner
from pdistill.backends.local.training.padded_runner import PaddedRunner
from pdistill.core.contract.batches import Batch, HardRow
from pdistill.core.contract.interfaces import StateURI, StepMetrics, WeightsURI
from pdistill.core.errors import BackendError
from pdistill.core.files import new_directory

T = TypeVar("T")
logger = logging.getLogger("pdistill")

CPU_TOKENS_PER_PART, GPU_TOKENS_PER_PART = 768, 16384
"""Most tokens of a part of a batch.

Few tokens are faster on a CPU: the output of one layer is still in its cache for the next.
"""
MAX_GRADIENT_NORM = 1.0
STATES_FOLDER, WEIGHTS_FOLDER, STATE_FILE = "checkpoints", "weights", "training.pt"


class LocalTrainer:
    """Trains one student. Calls return after they have completed, so their futures are done.

    AdamW (Loshchilov and Hutter, 2019, arXiv:1711.05101) with betas 0.9 and 0.999 and no weight decay; gradients are
    clipped to a norm of 1; there is no dropout.

    Args:
        student: a model with an adapter on it.
        base_name: the base model's name as typed by the user.
        directory: where states and weights are saved; URIs are relative to it.
        resume: the saved state to resume from.

    Raises:
        BackendError: the saved state can't be read.
    """

    def __init__(self, student: Any, base_name: str, directory: Path, resume: StateURI | None) -> None:
        self.student = student
        self.base_name = base_name
        self.directory = directory
        self.steps = 0
        self.runner = _make_runner(student, base_name)
        self.parameters = adapter.trainable_parameters(student)
        self.optimizer = torch.optim.AdamW(self.parameters, lr=0.0, weight_decay=0.0, fused=True)
        if resume is not None:
            self._restore(directory / resume)

    def step(self, batch: Batch, learning_rate: float) -> "Future[StepMetrics]":
        """Return a completed future for the metrics of one optimizer step on the whole batch.

        Raises:
            BackendError: the batch does not have hard targets only.
        """
        rows = [row for row in batch.rows if isinstance(row, HardRow)]
        if len(rows) != len(batch.rows):
            raise BackendError(f"backend local can't train with the loss '{batch.loss}', only with 'cross_entropy'")
        self.optimizer.zero_grad(set_to_none=True)
        loss = sum(self.runner.backward(part) for part in self._parts(rows))
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, MAX_GRADIENT_NORM)
        if not torch.isfinite(norm):
            loss = math.nan  # no weight is a number after this step, whatever the loss before it
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.step()
        self.steps += 1
        return _completed(StepMetrics(loss, sum(weight > 0 for row in rows for weight in row.weights)))

    def save_state(self, name: str) -> "Future[StateURI]":
        """Return a completed future for the URI of everything that training resumes from, saved atomically.

        Raises:
            RunError: it can't be written.
        """
        uri = StateURI(f"{STATES_FOLDER}/{name}")
        with new_directory(self.directory / uri) as folder:
            adapter.write(self.student, folder, self.base_name)
            state: dict[str, Any] = {"steps": self.steps, "optimizer": self.optimizer.state_dict()}
            state["random"] = torch.get_rng_state()
            if self.student.device.type == "cuda":
                state["cuda_random"] = torch.cuda.get_rng_state(self.student.device)
            torch.save(state, folder / STATE_FILE)
        return _completed(uri)

    def save_weights(self, name: str) -> "Future[WeightsURI]":
        """Return a completed future for the URI of the adapter's weights, saved atomically.

        Raises:
            RunError: they can't be written.
        """
        uri = WeightsURI(f"{WEIGHTS_FOLDER}/{name}")
        with new_directory(self.directory / uri) as folder:
            adapter.write(self.student, folder, self.base_name)
        return _completed(uri)

    def export(self, weights: WeightsURI, directory: Path) -> None:
        """Copy saved weights into `directory`, as an adapter that PEFT can load."""
        for name in (adapter.WEIGHTS_FILE, adapter.CONFIG_FILE):
            shutil.copyfile(self.directory / weights / name, directory / name)

    def _parts(self, rows: Sequence[HardRow]) -> list[list[HardRow]]:
        """Return the rows in parts that fit into memory, with rows of similar length together."""
        max_tokens = CPU_TOKENS_PER_PART if self.student.device.type == "cpu" else GPU_TOKENS_PER_PART
        parts: list[list[HardRow]] = []
        trained = 0
        for row in sorted(rows, key=lambda row: -len(row.ids)):
            more = sum(weight > 0 for weight in row.weights)
            lengths = [len(other.ids) for other in (*parts[-1], row)] if parts else []
            if not parts or self.runner.size(lengths) > max_tokens or trained + more > self.runner.max_trained:
                parts.append([])
                trained = 0
            parts[-1].append(row)
            trained += more
        return parts

    def _restore(self, folder: Path) -> None:
        adapter.load(self.student, folder)
        try:
            state = torch.load(folder / STATE_FILE, weights_only=True)
        except (OSError, RuntimeError, EOFError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise BackendError(f"can't read the saved state in '{folder}': {reason}") from None
        self.steps = state["steps"]
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        if "cuda_random" in state:
            torch.cuda.set_rng_state(state["cuda_random"], self.student.device)


def _make_runner(student: Any, name: str) -> PackedRunner | PaddedRunner:
    """Return what runs the student: packed rows where it can run them."""
    try:
        return PackedRunner(student)
    except UnfitError as error:
        logger.warning(
            "model '%s' is trained on padded rows, which is slower, because it can't run packed rows (%s)", name, error
        )
        return PaddedRunner(student)


def _completed(value: T) -> "Future[T]":
    future: Future[T] = Future()
    future.set_result(value)
    return future
