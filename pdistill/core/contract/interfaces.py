"""The interfaces of a backend: teachers, students, samplers, trainers and renderers. Fakes implement them too."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NewType, Protocol, runtime_checkable

from pdistill.core.contract.batches import Batch, TokenIds
from pdistill.core.contract.jsontext import Row
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
MachineSettings = Row
"""What a backend resolved on a machine (device, dtype, threads), as JSON values that only the backend reads."""
Resolved = Mapping[str, MachineSettings]
"""The machine settings of each side whose backend was opened."""
StateURI = NewType("StateURI", str)
WeightsURI = NewType("WeightsURI", str)
DATE = "date"
"""The key of machine settings for the day that chat templates write, which belongs to the run: later stages are given it."""
ADAPTER = WeightsURI("adapter")


@dataclass(frozen=True, slots=True)
class TokenScores:
    """Log-probabilities of given tokens: logprobs (T,) in nats, and the k most likely tokens at each position, (T, K)."""

    logprobs: tuple[float, ...]
    top_ids: tuple[tuple[int, ...], ...]
    top_logprobs: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Lora:
    """The settings of a LoRA adapter that is to be trained.

    Args:
        rank: the rank of its matrices.
        alpha: its scaling factor; None: twice the rank.
        seed: the seed of a new adapter's initial weights.
        start: a directory written by `Trainer.export`, whose weights the adapter starts from instead.
    """

    rank: int = 32
    alpha: float | None = None
    seed: int = 0
    start: Path | None = None


@dataclass(frozen=True, slots=True)
class StepMetrics:
    """The metrics of one optimizer step: the loss before it in nats per token, and the trained tokens it is the mean over."""

    loss: float
    tokens: int


@dataclass(frozen=True, slots=True)
class TrainingDefaults:
    """The model's own training defaults, used for what the user leaves unset.

    Args:
        learning_rate: the initial learning rate; it decays linearly to 0.
        epochs: passes over the examples.
        batch_size: examples per step.
        min_steps: the minimum number of steps; with fewer, batches are made smaller, then epochs are added.
    """

    learning_rate: float = 1e-4
    epochs: int = 4
    batch_size: int = 128
    min_steps: int = 75


class Renderer(Protocol):
    """Converts prompts to token ids and back, without the model's weights."""

    has_chat_template: bool

    def prompt_ids(self, prompt: Prompt) -> TokenIds:
        """Return the ids of the model's input: everything before its answer."""

    def target_ids(self, prompt: Prompt, target: str) -> TokenIds:
        """Return the ids of an answer and its end token, to be appended to `prompt_ids(prompt)`."""

    def pieces(self, ids: TokenIds) -> list[str]:
        """Return a human-readable text for each id."""

    def identity(self) -> Mapping[str, str]:
        """Return what distinguishes this renderer from others: hashes of vocabulary and template, the thinking mode."""


@runtime_checkable
class SpecialTokens(Protocol):
    """A renderer that knows the special tokens of its model, which no answer is to hold."""

    def holds_special_tokens(self, text: str) -> bool:
        """Return whether a special token is written out in a text."""


class Sampler(Protocol):
    """Samples answers from one model.

    `chunk` is None where answers do not depend on what else is in the batch. Otherwise the core passes the requests
    of `chunk` consecutive query numbers per call, and stores their answers together or not at all.
    """

    chunk: int | None

    def generate(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Key, Completion]]:
        """Yield an answer for every request, as they finish; only a window of the requests is in memory at a time.

        Raises:
            ContextError: a request does not fit the model's context.
            BackendError: the model cannot answer.
        """


@runtime_checkable
class Streamer(Sampler, Protocol):
    """A sampler that can show an answer while it is being generated."""

    def stream(self, request: Request, sampling: Sampling) -> Iterator[str]:
        """Yield one answer in pieces that add up to the text that `generate` returns.

        Raises:
            ContextError: the request does not fit the model's context.
        """


class Scorer(Sampler, Protocol):
    """A sampler that also gives log-probabilities; not every teacher behind an API can."""

    def score(self, items: Iterable[tuple[Request, TokenIds]], top_k: int) -> Iterator[tuple[Key, TokenScores]]:
        """Yield the log-probabilities of each request's tokens after its prompt."""


class Trainer(Protocol):
    """Trains one student. Futures complete in the order of the calls, and no call blocks on an earlier one.

    A future that fails with `BrokenOffError` means that this trainer can no longer be used: another one is opened, from
    the last saved state.
    """

    def step(self, batch: Batch, learning_rate: float) -> "Future[StepMetrics]":
        """Return a future for the metrics of one optimizer step on the whole batch."""

    def save_state(self, name: str) -> "Future[StateURI]":
        """Return a future for the URI of everything that training resumes from: weights, optimizer and random state."""

    def save_weights(self, name: str) -> "Future[WeightsURI]":
        """Return a future for the URI of weights to sample from."""

    def export(self, weights: WeightsURI, directory: Path) -> None:
        """Write the student as a PEFT adapter into `directory`, which exists and is empty."""


class Teacher(Protocol):
    """One model that answers with the prompt."""

    id: str
    capabilities: frozenset[Capability]

    def renderer(self) -> Renderer | None:
        """Return the renderer, without loading weights; None where only the service knows how prompts become tokens."""

    def sampler(self) -> AbstractContextManager[Sampler]:
        """Return a context manager that opens the model."""


class Student(Protocol):
    """One model that is trained to answer without the prompt."""

    id: str
    capabilities: frozenset[Capability]
    defaults: TrainingDefaults

    def renderer(self) -> Renderer:
        """Return the renderer, without loading weights."""

    def sampler(self, weights: WeightsURI | None) -> AbstractContextManager[Sampler]:
        """Return a context manager that opens the model with the given weights; None is the base model."""

    def trainer(self, lora: Lora, resume: StateURI | None) -> AbstractContextManager[Trainer]:
        """Return a context manager that opens a trainer: a new one, or one that resumes from a saved state."""

    def release(self, uri: StateURI | WeightsURI) -> None:
        """Free the space of a saved state or saved weights on this machine; a service keeps them until they expire."""


@runtime_checkable
class Remote(Protocol):
    """A teacher or student that a service runs: it is checked before anything is started."""

    def check_available(self, lora: Lora | None) -> None:
        """Guarantee that the service responds, accepts the key, has the model and trains such an adapter; costs nothing.

        Raises:
            BackendError: it does not.
        """


@runtime_checkable
class RemoteStudent(Student, Remote, Protocol):
    """A student that a service trains: its initial state is saved, as only the service can create it; its export is checked."""

    def check_export(self, weights: WeightsURI, folder: Path, examples: Sequence[tuple[Request, TokenIds]]) -> str:
        """Return a line that says whether the adapter in `folder` matches the model that was trained; records it there.

        Args:
            weights: the trained weights on the service.
            examples: held-out queries as the student's input, with the ids of their targets.
        """

    def local_copy(self) -> Student | None:
        """Return the run's student as a local model; None where it is only on the service."""


class Backend(Protocol):
    """Runs models, on this machine or through a service."""

    default_model: str | None

    def resolve(self, stored: MachineSettings | None) -> MachineSettings:
        """Return what depends on the machine (device, dtype, threads, chunk size): detected, or as stored.

        It is called again, with what it returned, once the models' renderers are made. Where only DATE is stored, the rest is
        detected.
        """

    def teacher(self, model: str) -> Teacher:
        """Return the model as a teacher.

        Raises:
            BackendError: there is no such model, or what runs it is not installed.
        """

    def prices(self, model: str) -> Prices | None:
        """Return the prices of the model's tokens; None where they are unknown, `FREE` where tokens cost no money."""

    def student(self, model: str, directory: Path) -> Student:
        """Return the model as a student whose URIs are relative to `directory`.

        Raises:
            BackendError: there is no such model, or what runs it is not installed.
        """


MESSAGE_FRAME_TOKENS = 64
"""The most tokens that the frame around a message takes, where only the service knows its tokenizer."""


def prompt_tokens(renderer: Renderer | None, prompt: Prompt) -> int:
    """Return the number of tokens of a prompt; without a renderer, an upper bound from its bytes and message frames."""
    if renderer is not None:
        return len(renderer.prompt_ids(prompt))
    texts = [message.content for message in prompt.messages] if isinstance(prompt, Messages) else [prompt.text]
    return sum(len(text.encode("utf-8", "surrogatepass")) + MESSAGE_FRAME_TOKENS for text in texts)


def context_of(model: Teacher | Student) -> int | None:
    """Return the most tokens that a model can hold; None where its backend does not say."""
    return getattr(model, "context", None)


def capabilities_of(model: Teacher | Student) -> frozenset[Capability]:
    """Return the capabilities of a model, also where its plugin was written for 0.1 and declares them as `can`."""
    before: frozenset[Capability] | None = getattr(model, "can", None)
    if before is None:
        return model.capabilities
    warnings.warn(
        f"{type(model).__name__}.can is called capabilities in this version of pdistill",
        DeprecationWarning,
        stacklevel=2,
    )
    return before
