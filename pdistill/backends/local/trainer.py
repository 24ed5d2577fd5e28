"""Trains LoRA students on hard targets: cross-entropy, AdamW, one optimizer step a batch however it is split."""

import shutil
from collections.abc import Sequence
from concurrent.futures import Future
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch.nn import functional

from pdistill.backends.local import adapter
from pdistill.backends.local.files import whole_folder
from pdistill.core.batches import Batch, HardRow
from pdistill.core.errors import BackendError
from pdistill.core.interfaces import StateURI, StepMetrics, WeightsURI

T = TypeVar("T")

CPU_TOKENS, GPU_TOKENS = 1024, 16384
MOST_LOGITS = 32 << 20
"""Padded tokens, and logits (trained tokens times vocabulary), that a part of a batch may have.

Few tokens are faster on a CPU: what one layer leaves is still in its cache for the next.
"""
MOST_NORM = 1.0
STATES, WEIGHTS, STATE_FILE = "checkpoints", "weights", "training.pt"


class LocalTrainer:
    """Trains one student. Every call is done when it returns, and so are its futures.

    AdamW (Loshchilov and Hutter, 2019, arXiv:1711.05101) with betas 0.9 and 0.999 and no weight decay; gradients are
    clipped to a norm of 1; there is no dropout.

    Args:
        student: a model with an adapter on it.
        base_name: the base model's name as the user gave it.
        directory: where states and weights are written; URIs are relative to it.
        resume: the saved state to go on from.

    Raises:
        BackendError: the saved state can't be read.
    """

    def __init__(self, student: Any, base_name: str, directory: Path, resume: StateURI | None) -> None:
        self.student = student
        self.base_name = base_name
        self.directory = directory
        self.steps = 0
        self.parameters = adapter.trained_parameters(student)
        self.optimizer = torch.optim.AdamW(self.parameters, lr=0.0, weight_decay=0.0)
        if resume is not None:
            self._restore(directory / resume)

    def step(self, batch: Batch, learning_rate: float) -> "Future[StepMetrics]":
        """Return the metrics of one optimizer step on the whole batch, already there.

        Raises:
            BackendError: the batch is not one of hard targets, or the loss is no number.
        """
        rows = [row for row in batch.rows if isinstance(row, HardRow)]
        if len(rows) != len(batch.rows):
            raise BackendError(f"backend local can't train with the loss '{batch.loss}', only with 'cross_entropy'")
        self.optimizer.zero_grad(set_to_none=True)
        loss = sum(self._backward(part) for part in self._parts(rows))
        if loss != loss:
            raise BackendError(f"the loss is not a number after {self.steps} steps; take a smaller --learning-rate")
        torch.nn.utils.clip_grad_norm_(self.parameters, MOST_NORM)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.step()
        self.steps += 1
        return _done(StepMetrics(loss, sum(weight > 0 for row in rows for weight in row.weights)))

    def save_state(self, name: str) -> "Future[StateURI]":
        """Return the URI of all that training goes on from, written whole.

        Raises:
            RunError: it can't be written.
        """
        uri = StateURI(f"{STATES}/{name}")
        with whole_folder(self.directory / uri) as folder:
            adapter.write(self.student, folder, self.base_name)
            state: dict[str, Any] = {"steps": self.steps, "optimizer": self.optimizer.state_dict()}
            state["random"] = torch.get_rng_state()
            if self.student.device.type == "cuda":
                state["cuda_random"] = torch.cuda.get_rng_state(self.student.device)
            torch.save(state, folder / STATE_FILE)
        return _done(uri)

    def save_weights(self, name: str) -> "Future[WeightsURI]":
        """Return the URI of the adapter's weights, written whole.

        Raises:
            RunError: they can't be written.
        """
        uri = WeightsURI(f"{WEIGHTS}/{name}")
        with whole_folder(self.directory / uri) as folder:
            adapter.write(self.student, folder, self.base_name)
        return _done(uri)

    def export(self, weights: WeightsURI, directory: Path) -> None:
        """Copy saved weights into `directory`, as an adapter that plain PEFT loads."""
        for name in (adapter.WEIGHTS_FILE, adapter.CONFIG_FILE):
            shutil.copyfile(self.directory / weights / name, directory / name)

    def _parts(self, rows: Sequence[HardRow]) -> list[list[HardRow]]:
        """Return the rows in parts that fit into memory, rows of like length together."""
        vocabulary = self.student.get_output_embeddings().weight.shape[0]
        most_tokens = CPU_TOKENS if self.student.device.type == "cpu" else GPU_TOKENS
        parts: list[list[HardRow]] = []
        longest = logits = 0
        for row in sorted(rows, key=lambda row: -len(row.ids)):
            more = vocabulary * sum(weight > 0 for weight in row.weights)
            full = parts and ((len(parts[-1]) + 1) * longest > most_tokens or logits + more > MOST_LOGITS)
            if not parts or full:
                parts.append([])
                longest, logits = len(row.ids), 0
            parts[-1].append(row)
            logits += more
        return parts

    def _backward(self, rows: Sequence[HardRow]) -> float:
        """Return these rows' share of the loss in nats; adds their share of the gradient.

        Rows are padded on their right: no token sees the padding, which comes after it. Only the hidden states at
        trained places go through the output layer.
        """
        device = self.student.device
        width = max(len(row.ids) for row in rows)
        ids = torch.tensor([[*row.ids, *[0] * (width - len(row.ids))] for row in rows], device=device)
        weights = list(chain.from_iterable([*row.weights, *[0.0] * (width - len(row.ids))] for row in rows))
        targets = list(chain.from_iterable([*row.targets, *[0] * (width - len(row.ids))] for row in rows))
        trained = [place for place, weight in enumerate(weights) if weight]
        if not trained:
            return 0.0
        places = torch.tensor(trained, device=device)
        with self.student.get_output_embeddings().register_forward_pre_hook(
            lambda _, inputs: (inputs[0].flatten(0, -2)[places],)
        ):
            logits = self.student(input_ids=ids, use_cache=False).logits
        nats = functional.cross_entropy(
            logits.float(), torch.tensor([targets[place] for place in trained], device=device), reduction="none"
        )
        loss = (nats * torch.tensor([weights[place] for place in trained], device=device)).sum()
        torch.autograd.backward(loss)
        return loss.item()

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


def _done(value: T) -> "Future[T]":
    future: Future[T] = Future()
    future.set_result(value)
    return future
