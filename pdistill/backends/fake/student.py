"""The student of the fake backend: a linear model that really learns, on one worker thread, with weights in files."""

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pdistill.backends.fake.answers import Model
from pdistill.backends.fake.linear import OTHER, LinearModel, features_of, model_from_json, positions_of
from pdistill.backends.fake.options import FakeOptions
from pdistill.backends.fake.renderer import END, EOS, FakeRenderer, decode
from pdistill.backends.fake.sampler import Calls, FakeSampler
from pdistill.core.contract.batches import Batch
from pdistill.core.contract.interfaces import Capability, Lora, StateURI, StepMetrics, TrainingDefaults, WeightsURI
from pdistill.core.contract.prompts import Prompt
from pdistill.core.errors import BackendError
from pdistill.core.files import write_file

T = TypeVar("T")

ADAPTER = "adapter_weights.json"


class Trained:
    """The base with a trained linear model on top; where that has no answer, the base answers."""

    def __init__(self, base: Model, linear: LinearModel, renderer: FakeRenderer) -> None:
        self._base = base
        self._linear = linear
        self._renderer = renderer

    def answer(self, prompt: Prompt) -> str:
        """Return the most likely answer, token by token."""
        ids: list[int] = []
        features = self._features(prompt)
        while True:
            shares = self._linear.probabilities(features, tuple(ids))
            token = max(shares, key=shares.__getitem__) if shares else END
            if token == OTHER and not ids:
                return self._base.answer(prompt)
            if token in (END, EOS, OTHER):
                return decode(ids)
            ids.append(token)

    def following(self, prompt: Prompt, prefix: tuple[int, ...]) -> Mapping[int, float]:
        """Return the probabilities of the next token: those of trained tokens, and the base's for the rest."""
        shares = self._linear.probabilities(self._features(prompt), prefix) or {OTHER: 1.0}
        rest = shares.pop(OTHER)
        for token, share in self._base.following(prompt, prefix).items():
            shares[token] = shares.get(token, 0.0) + rest * share
        return shares

    def _features(self, prompt: Prompt) -> tuple[str, ...]:
        return features_of(decode(self._renderer.prompt_ids(prompt)))


class FakeStudent:
    """A model that is trained; its URIs are files below one directory."""

    capabilities: frozenset[Capability] = frozenset(("generate", "score", "train-hard", "train-soft", "train-policy"))
    defaults = TrainingDefaults(learning_rate=0.5, epochs=4, batch_size=32, min_steps=40)

    def __init__(self, id: str, base: Model, directory: Path, options: FakeOptions, calls: Calls) -> None:
        self.id = id
        self._base = base
        self._directory = directory
        self._options = options
        self._calls = calls

    def renderer(self) -> FakeRenderer:
        """Return the toy tokenizer."""
        return FakeRenderer(self._options.chat_template)

    @contextmanager
    def sampler(self, weights: WeightsURI | None) -> Iterator[FakeSampler]:
        """Yield a sampler of the student with the given weights; None is the base.

        Raises:
            BackendError: the weights do not exist.
        """
        model = self._base
        if weights is not None:
            model = Trained(self._base, model_from_json(self._read(weights)["nodes"]), self.renderer())
        yield FakeSampler(model, self._options, self._calls)

    @contextmanager
    def trainer(self, lora: Lora, resume: StateURI | None) -> Iterator["FakeTrainer"]:
        """Yield a trainer that starts from scratch, or resumes from a saved state.

        Raises:
            BackendError: the state does not exist.
        """
        linear, steps = LinearModel(), 0
        if lora.start is not None:
            linear = model_from_json(self._read(lora.start.absolute())["nodes"])
        if resume is not None:
            state = self._read(resume)
            linear, steps = model_from_json(state["nodes"]), state["step"]
        trainer = FakeTrainer(self, self._directory, lora, linear, steps, self._calls)
        try:
            yield trainer
        finally:
            trainer.close()

    def release(self, uri: StateURI | WeightsURI) -> None:
        """Delete the file of a saved state or of saved weights, if it exists."""
        (self._directory / uri).unlink(missing_ok=True)

    def _read(self, uri: str | Path) -> dict[str, Any]:
        path = self._directory / uri
        path = path / ADAPTER if path.is_dir() else path
        try:
            return dict(json.loads(path.read_bytes()))
        except (OSError, ValueError):
            raise BackendError(f"the fake student can't read '{path}'; train it again with pdistill train") from None


class FakeTrainer:
    """Trains on one worker thread, in the order of the calls; once a call has failed, all later ones fail with its error."""

    def __init__(
        self, student: FakeStudent, directory: Path, lora: Lora, linear: LinearModel, steps: int, calls: Calls
    ) -> None:
        self._student = student
        self._directory = directory
        self._lora = lora
        self._linear = linear
        self._steps = steps
        self._calls = calls
        self._failure: BackendError | None = None
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="fake-trainer")

    def step(self, batch: Batch, learning_rate: float) -> "Future[StepMetrics]":
        """Return a future for the metrics of one step."""
        return self._worker.submit(self._in_order, lambda: self._step(batch, learning_rate))

    def save_state(self, name: str) -> "Future[StateURI]":
        """Return a future for the URI of weights, optimizer and step: checkpoints/NAME.json."""
        return self._worker.submit(self._in_order, lambda: StateURI(self._save(f"{name}.json", optimizer=True)))

    def save_weights(self, name: str) -> "Future[WeightsURI]":
        """Return a future for the URI of the weights alone: checkpoints/NAME.weights.json."""
        return self._worker.submit(
            self._in_order, lambda: WeightsURI(self._save(f"{name}.weights.json", optimizer=False))
        )

    def export(self, weights: WeightsURI, directory: Path) -> None:
        """Write the weights to `directory` in the layout of a PEFT adapter, with "peft_type" FAKE.

        Raises:
            BackendError: the weights do not exist.
        """
        content = self._student._read(weights)
        config = {
            "peft_type": "FAKE",
            "base_model_name_or_path": self._student.id,
            "r": self._lora.rank,
            "lora_alpha": 2 * self._lora.rank if self._lora.alpha is None else self._lora.alpha,
        }
        write_file(directory / "adapter_config.json", json.dumps(config, indent=2).encode() + b"\n")
        write_file(directory / ADAPTER, _json(content))

    def close(self) -> None:
        """Stop the worker, and drop calls that have not started."""
        self._worker.shutdown(cancel_futures=True)

    def _in_order(self, call: Callable[[], T]) -> T:
        if self._failure is not None:
            raise self._failure
        try:
            return call()
        except BackendError as error:
            self._failure = error
            raise

    def _step(self, batch: Batch, learning_rate: float) -> StepMetrics:
        self._calls.tick()
        positions = [position for row in batch.rows for position in positions_of(row, decode)]
        loss = self._linear.step(positions, learning_rate)
        self._steps += 1
        return StepMetrics(loss, len(positions))

    def _save(self, name: str, *, optimizer: bool) -> str:
        uri = f"checkpoints/{name}"
        path = self._directory / uri
        path.parent.mkdir(parents=True, exist_ok=True)
        write_file(path, _json({"step": self._steps, "nodes": self._linear.to_json(optimizer)}))
        return uri


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"
