"""What a backend offers: teachers, students, samplers, trainers, renderers. Fakes implement these too."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NewType, Protocol, runtime_checkable

from pdistill.core.contract.batches import Batch, TokenIds
from pdistill.core.contract.prices import Prices
from pdistill.core.contract.prompts import Messages, Prompt
from pdistill.core.contract.sampling import Completion, Key, Request, Sampling

Capability = Literal[
    "generate",
    "score",
    "train-hard",
    "train-soft",
    "train-policy",
    "constrain-labels",
    "constrain-pattern",
    "constrain-json",
]
Side = Literal["teacher", "student"]
SIDES: tuple[Side, ...] = ("teacher", "student")
MachineSettings = Mapping[str, Any]
"""What a backend resolved on a machine (device, dtype, threads), as JSON values that it alone reads."""
Resolved = Mapping[str, MachineSettings]
"""The machine settings of each side whose backend was opened."""
StateURI = NewType("StateURI", str)
WeightsURI = NewType("WeightsURI", str)
ADAPTER = WeightsURI("adapter")


@dataclass(frozen=True, slots=True)
class TokenScores:
    """Log-probabilities of given tokens: logprobs (T,) in nats, and the k likeliest tokens at each place, (T, K)."""

    logprobs: tuple[float, ...]
    top_ids: tuple[tuple[int, ...], ...]
    top_logprobs: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Lora:
    """A LoRA adapter to be trained.

    Args:
        rank: of its matrices.
        alpha: its scale; None: twice the rank.
        seed: what a new adapter begins with.
        start: a folder that `Trainer.export` wrote, whose weights it begins with instead.
    """

    rank: int = 32
    alpha: float | None = None
    seed: int = 0
    start: Path | None = None


@dataclass(frozen=True, slots=True)
class StepMetrics:
    """One optimizer step: the loss before it in nats a token, and the trained tokens it was the mean of."""

    loss: float
    tokens: int


@dataclass(frozen=True, slots=True)
class TrainingDefaults:
    """What a model is best trained with where the user says nothing.

    Args:
        learning_rate: of the first step; it falls linearly to 0.
        epochs: passes over the examples.
        batch_size: examples a step.
        min_steps: steps below which batches are made smaller and then epochs added.
    """

    learning_rate: float = 1e-4
    epochs: int = 4
    batch_size: int = 128
    min_steps: int = 75


class Renderer(Protocol):
    """Turns prompts into token ids and back, without the model's weights."""

    has_chat_template: bool

    def prompt_ids(self, prompt: Prompt) -> TokenIds:
        """Return the ids that the model is asked with: all that stands before its answer."""

    def target_ids(self, prompt: Prompt, target: str) -> TokenIds:
        """Return the ids of an answer and its end token, to be joined to `prompt_ids(prompt)`."""

    def pieces(self, ids: TokenIds) -> list[str]:
        """Return a readable text for each id, to be shown to a person."""

    def identity(self) -> Mapping[str, str]:
        """Return what tells this renderer from others: hashes of vocabulary and template, the thinking mode."""


class Sampler(Protocol):
    """Draws answers from one model.

    `chunk` is None where answers do not depend on what else is in the batch. Otherwise the core hands over the
    requests of `chunk` consecutive query numbers a call, and stores their answers together or not at all.
    """

    chunk: int | None

    def generate(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Key, Completion]]:
        """Yield an answer for every request, as they finish; holds a window of the requests, not all.

        Raises:
            ContextError: a request does not fit the model's context.
            BackendError: the model can't answer.
        """


@runtime_checkable
class Streamer(Sampler, Protocol):
    """A sampler that can show an answer while it is made."""

    def stream(self, request: Request, sampling: Sampling) -> Iterator[str]:
        """Yield the pieces of one answer, which together are the text that `generate` gives.

        Raises:
            ContextError: the request does not fit the model's context.
        """


class Scorer(Sampler, Protocol):
    """A sampler that also gives log-probabilities; not every teacher behind an API can."""

    def score(self, items: Iterable[tuple[Request, TokenIds]], top_k: int) -> Iterator[tuple[Key, TokenScores]]:
        """Yield the log-probabilities of the given tokens after each request's prompt."""


class Trainer(Protocol):
    """Trains one student. Futures finish in the order of the calls, and no call waits for an earlier one.

    A future that fails with `BrokenOffError` says that this trainer is of no use any more: another one is opened, with the
    last saved state.
    """

    def step(self, batch: Batch, learning_rate: float) -> "Future[StepMetrics]":
        """Return the metrics-to-be of one optimizer step on the whole batch."""

    def save_state(self, name: str) -> "Future[StateURI]":
        """Return the URI-to-be of all that training goes on from: weights, optimizer and random state."""

    def save_weights(self, name: str) -> "Future[WeightsURI]":
        """Return the URI-to-be of weights to sample from."""

    def export(self, weights: WeightsURI, directory: Path) -> None:
        """Write the student as a PEFT adapter into `directory`, which exists and is empty."""


class Teacher(Protocol):
    """One model that answers under the prompt."""

    id: str
    capabilities: frozenset[Capability]

    def renderer(self) -> Renderer | None:
        """Return how prompts become token ids, without loading weights; None where only the service knows."""

    def sampler(self) -> AbstractContextManager[Sampler]:
        """Return the model, opened."""


class Student(Protocol):
    """One model that is trained to answer without the prompt."""

    id: str
    capabilities: frozenset[Capability]
    defaults: TrainingDefaults

    def renderer(self) -> Renderer:
        """Return how prompts become token ids, without loading weights."""

    def sampler(self, weights: WeightsURI | None) -> AbstractContextManager[Sampler]:
        """Return the model with the given weights, opened; None is the base."""

    def trainer(self, lora: Lora, resume: StateURI | None) -> AbstractContextManager[Trainer]:
        """Return a trainer that starts anew, or goes on from a saved state."""

    def release(self, uri: StateURI | WeightsURI) -> None:
        """Free what a saved state or saved weights hold on this machine; a service keeps them until they expire."""


@runtime_checkable
class Remote(Protocol):
    """A teacher or student that a service runs: it is reached for before anything is begun."""

    def check_available(self, lora: Lora | None) -> None:
        """Guarantee that the service answers, takes the key and has the model, and trains such an adapter; costs nothing.

        Raises:
            BackendError: it doesn't.
        """


@runtime_checkable
class RemoteStudent(Student, Remote, Protocol):
    """A student that a service trains: its start is saved, as nobody else can make it again, and its export is checked."""

    def check_export(self, weights: WeightsURI, folder: Path, examples: Sequence[tuple[Request, TokenIds]]) -> str:
        """Return a line that says whether the adapter in `folder` is the model that was trained; notes it there.

        Args:
            weights: where the service has the trained weights.
            examples: held-out queries as the student is asked, with the ids of their targets.
        """

    def local_copy(self) -> Student | None:
        """Return the run's student as one of this machine; None where it only is on the service."""


class Backend(Protocol):
    """Who runs models."""

    default_model: str | None

    def resolve(self, stored: MachineSettings | None) -> MachineSettings:
        """Return what depends on the machine (device, dtype, threads, chunk size): probed, or as it was stored."""

    def teacher(self, model: str) -> Teacher:
        """Return the model as a teacher.

        Raises:
            BackendError: there is no such model, or what runs it is not installed.
        """

    def prices(self, model: str) -> Prices | None:
        """Return what the model's tokens cost; None where that is unknown, `FREE` where no token costs money."""

    def student(self, model: str, directory: Path) -> Student:
        """Return the model as a student whose URIs are relative to `directory`.

        Raises:
            BackendError: there is no such model, or what runs it is not installed.
        """


MESSAGE_FRAME_TOKENS = 64
"""Tokens that the frame around a message has at most, where only the service knows its tokenizer."""


def prompt_tokens(renderer: Renderer | None, prompt: Prompt) -> int:
    """Return the tokens of a prompt; without a renderer, as many as its bytes and the frames of its messages can be."""
    if renderer is not None:
        return len(renderer.prompt_ids(prompt))
    texts = [message.content for message in prompt.messages] if isinstance(prompt, Messages) else [prompt.text]
    return sum(len(text.encode("utf-8", "surrogatepass")) + MESSAGE_FRAME_TOKENS for text in texts)


def capabilities_of(model: Teacher | Student) -> frozenset[Capability]:
    """Return what a model can do, also where its plugin was written for 0.1 and says so by `can`."""
    before: frozenset[Capability] | None = getattr(model, "can", None)
    if before is None:
        return model.capabilities
    warnings.warn(f"{type(model).__name__}.can is now called capabilities", DeprecationWarning, stacklevel=2)
    return before
