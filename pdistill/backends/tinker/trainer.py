"""Trains a student on the service: two requests per step, submitted together without waiting for results."""

import asyncio
import uuid
from collections.abc import Coroutine
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from pdistill.backends.remote.background import Background, run_blocking
from pdistill.backends.tinker import TinkerOptions, export
from pdistill.backends.tinker.connection import Connection
from pdistill.backends.tinker.failures import detail, to_backend_error, verdict
from pdistill.core.contract.batches import Batch, HardRow, Loss, PolicyRow, SoftRow, TrainingRow
from pdistill.core.contract.interfaces import StateURI, StepMetrics, WeightsURI
from pdistill.core.errors import BackendError, BrokenOffError

T = TypeVar("T")

BETAS, EPSILON, MAX_GRADIENT_NORM = (0.9, 0.999), 1e-8, 1.0
LOSSES: dict[Loss, str] = {
    "cross_entropy": "cross_entropy",
    "soft_cross_entropy": "cross_entropy",
    "importance_sampling": "importance_sampling",
}
DAY = 86400


class TinkerTrainer:
    """Trains one student. After any failure, the state on the service is unusable: all later futures raise `BrokenOffError`.

    AdamW (Loshchilov and Hutter, 2019, arXiv:1711.05101) with betas 0.9 and 0.999 and no weight decay; gradients are
    clipped to a norm of 1. The service's loss is a sum over weighted tokens, and the weights of a batch add up to 1.

    Args:
        connection: the open session.
        client: the training client.
        background: waits for the client's futures.
        options: the backend's options.
        model: the base model's name.
        run: the run's name, used in the names of saved states.
    """

    def __init__(
        self, connection: Connection, client: Any, background: Background, options: TinkerOptions, model: str, run: str
    ) -> None:
        self._connection = connection
        self._client = client
        self._background = background
        self._model = model
        self._expiry = int(options.expire * DAY) or None
        self._prefix = f"{_slug(run)}-{uuid.uuid4().hex[:8]}"
        self._last: Future[Any] | None = None
        self._downloads: dict[WeightsURI, str | BackendError] = {}

    def step(self, batch: Batch, learning_rate: float) -> "Future[StepMetrics]":
        """Return a future for the metrics of one optimizer step on the whole batch."""
        types = self._connection.client.types
        optimizer = types.AdamParams(
            learning_rate=learning_rate,
            beta1=BETAS[0],
            beta2=BETAS[1],
            eps=EPSILON,
            weight_decay=0.0,
            grad_clip_norm=MAX_GRADIENT_NORM,
        )
        forward = self._client.forward_backward([_datum(types, row) for row in batch.rows], LOSSES[batch.loss])
        optimized = self._client.optim_step(optimizer)
        trained = sum(weight > 0 for row in batch.rows for weight in row.weights)
        return self._in_order(self._metrics(forward, optimized, trained))

    def save_state(self, name: str) -> "Future[StateURI]":
        """Return a future for the URI of a saved state, from which training can resume: weights and optimizer."""
        saved = self._client.save_state(f"{self._prefix}-{name}", ttl_seconds=self._expiry, overwrite=True)

        async def uri() -> StateURI:
            return StateURI((await self._connection.result_of(saved)).path)

        return self._in_order(uri())

    def save_weights(self, name: str) -> "Future[WeightsURI]":
        """Return a future for the URI of weights for sampling; the same weights are then prepared for download.

        The second request is sent only after the first is done: two requests at once may arrive in either order, and a
        refused one makes those after it fail.
        """
        saved = self._client.save_weights_for_sampler(f"{self._prefix}-{name}")

        async def uri() -> WeightsURI:
            weights = WeightsURI((await self._connection.result_of(saved)).path)
            submitted = run_blocking(
                lambda: self._client.save_weights_external(f"{self._prefix}-{name}", ttl_seconds=self._expiry)
            )
            download = await asyncio.wrap_future(submitted)
            try:
                self._downloads[weights] = (await self._connection.result_of(download)).path
            except Exception as error:
                if verdict(error) not in ("refused", "denied", "gone"):
                    raise
                self._downloads[weights] = to_backend_error(error, self._connection.url)
            return weights

        return self._in_order(uri())

    def export(self, weights: WeightsURI, directory: Path) -> None:
        """Write the student as a PEFT adapter into `directory`; if it can't be downloaded, only a note of where it is.

        Raises:
            BackendError: this trainer did not save these weights, or the download fails repeatedly.
        """
        if weights not in self._downloads:
            raise BackendError(f"these weights were not saved by this trainer: {weights}")
        export.download_adapter(self._connection, self._downloads[weights], weights, self._model, directory)

    async def _metrics(self, forward: Any, optimized: Any, trained: int) -> StepMetrics:
        output = await self._connection.result_of(forward)
        await self._connection.result_of(optimized)
        return StepMetrics(float(output.metrics["loss:sum"]), trained)

    def _in_order(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        """Return a future for the result of `work`; it is done after those of all earlier calls."""
        future = self._background.submit(self._after(self._last, work))
        self._last = future
        return future

    async def _after(self, earlier: "Future[Any] | None", work: Coroutine[Any, Any, T]) -> T:
        try:
            if earlier is not None:
                await asyncio.wrap_future(earlier)
            return await work
        except BackendError:
            raise
        except Exception as error:  # noqa: BLE001 - the client raises its own errors and plain ones
            if verdict(error) == "denied":
                raise to_backend_error(error, self._connection.url) from None
            raise BrokenOffError(f"training on the service failed: {detail(error)}") from None
        finally:
            work.close()


def _datum(types: Any, row: TrainingRow) -> Any:
    """Return a row in the service's format; where that has no weights, they are multiplied into the values."""
    inputs: dict[str, Any]
    match row:
        case HardRow():
            inputs = {"target_tokens": list(row.targets), "weights": list(row.weights)}
        case SoftRow():
            shares = [
                [weight * share for share in place]
                for weight, place in zip(row.weights, row.probabilities, strict=True)
            ]
            inputs = {"target_tokens": [list(place) for place in row.targets], "weights": shares}
        case PolicyRow():
            gains = [weight * gain for weight, gain in zip(row.weights, row.advantages, strict=True)]
            inputs = {"target_tokens": list(row.targets), "logprobs": list(row.logprobs), "advantages": gains}
    return types.Datum(model_input=types.ModelInput.from_ints(list(row.ids)), loss_fn_inputs=inputs)


def _slug(name: str) -> str:
    """Return a valid checkpoint name: letters, digits and hyphens."""
    kept = "".join(c if c.isascii() and c.isalnum() else "-" for c in name).strip("-")
    return f"pdistill-{kept[:40]}" if kept else "pdistill"
