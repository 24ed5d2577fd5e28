"""The Tinker backend's teachers and students."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pdistill.backends.remote.background import Background
from pdistill.backends.rendering import TemplateRenderer
from pdistill.backends.template_day import RunDay
from pdistill.backends.tinker import TinkerOptions, local_copy
from pdistill.backends.tinker.connection import Connection, check_served, no_retries, open_connection
from pdistill.backends.tinker.export import read_note
from pdistill.backends.tinker.failures import detail, to_backend_error, verdict
from pdistill.backends.tinker.prices import listed_prices
from pdistill.backends.tinker.sampler import TinkerSampler
from pdistill.backends.tinker.tokenizer import load_tokenizer
from pdistill.backends.tinker.trainer import TinkerTrainer
from pdistill.core.contract.batches import TokenIds
from pdistill.core.contract.interfaces import Capability, Lora, Sampler, StateURI, Student, TrainingDefaults, WeightsURI
from pdistill.core.contract.prices import Prices, given_prices
from pdistill.core.contract.sampling import Request
from pdistill.core.errors import BackendError

MODEL = "Qwen/Qwen3-30B-A3B"
REMOTE = "tinker://"


class TinkerBackend:
    """Models that the service runs and trains."""

    def __init__(self, options: TinkerOptions) -> None:
        self.default_model: str | None = MODEL
        self.options = options
        self._served: dict[str, ServedModel] = {}
        self._day = RunDay()

    def resolve(self, stored: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Return the stored or current version of the client; nothing else depends on this machine."""
        stored = self._day.with_stored(stored)
        if stored is not None:
            return self._day.added_to(dict(stored))
        try:
            client = version("tinker")
        except PackageNotFoundError:
            client = "not installed"
        return self._day.added_to({"client": client})

    def prices(self, model: str) -> Prices | None:
        """Return the published prices, overridden by those in the options; None if one is unknown.

        Raises:
            UsageError: a price is below 0.
        """
        options = self.options
        return given_prices(
            listed_prices(model),
            prompt=options.price_prompt,
            sampled=options.price_sampled,
            trained=options.price_trained,
        )

    def teacher(self, model: str) -> "TinkerTeacher":
        """Return the model as a teacher; no request is sent to the service."""
        return TinkerTeacher(self._model(model))

    def student(self, model: str, directory: Path) -> "TinkerStudent":
        """Return the model as a student; its adapter will be downloaded into `directory`."""
        return TinkerStudent(self._model(model), directory)

    def _model(self, name: str) -> "ServedModel":
        return self._served.setdefault(name, ServedModel(name, self.options, self._day))


class ServedModel:
    """One model that the service serves."""

    def __init__(self, name: str, options: TinkerOptions, day: RunDay) -> None:
        self.name = name
        self.options = options
        self._day = day

    @cached_property
    def renderer(self) -> TemplateRenderer:
        """Turns prompts into token ids."""
        tokenizer = load_tokenizer(self.name, self.options.tokenizer)
        return TemplateRenderer(tokenizer, self.name, self.options.thinking, self._day.of(tokenizer))

    def check_available(self, *, trained: bool) -> None:
        """Guarantee that the service is reachable, accepts the key and serves the model.

        Raises:
            BackendError: one of these does not hold.
        """
        with open_connection(self.options) as connection:
            self.context(connection, trained=trained)

    def context(self, connection: Connection, *, trained: bool = False) -> int | None:
        """Check that the model is served, and return its context length in tokens; None if the service does not report it.

        Raises:
            BackendError: the service is not reachable, refuses the key, or does not serve the model.
        """
        models = connection.models()
        check_served(models, self.name, connection.url, trained=trained)
        length: int | None = models[self.name].max_context_length
        return length

    @contextmanager
    def sampler(self, weights: str | None) -> Iterator[TinkerSampler]:
        """Yield a sampler of the model, or of weights trained from it."""
        with open_connection(self.options) as connection:
            context = self.context(connection)
            source = {"base_model": self.name} if weights is None else {"model_path": weights}
            retry_config = no_retries()
            yield TinkerSampler(
                connection,
                lambda service: service.create_sampling_client(**source, retry_config=retry_config),
                self.renderer,
                self.options.window,
                context,
            )


class TinkerTeacher:
    """One model that answers with the prompt."""

    capabilities: frozenset[Capability] = frozenset(("generate", "score"))

    def __init__(self, model: ServedModel) -> None:
        self.id = model.name
        self._model = model

    def renderer(self) -> TemplateRenderer:
        """Return what turns prompts into token ids."""
        return self._model.renderer

    def check_available(self, lora: Lora | None) -> None:
        """Guarantee that the service is reachable, accepts the key and serves the model.

        Raises:
            BackendError: one of these does not hold.
        """
        self._model.check_available(trained=False)

    def sampler(self) -> AbstractContextManager[TinkerSampler]:
        """Return a sampler of the model, as a context manager."""
        return self._model.sampler(None)


class TinkerStudent:
    """One model that is trained with LoRA on the service."""

    capabilities: frozenset[Capability] = frozenset(("generate", "score", "train-hard", "train-soft", "train-policy"))
    defaults = TrainingDefaults()

    def __init__(self, model: ServedModel, directory: Path) -> None:
        self.id = model.name
        self._model = model
        self._directory = directory

    def renderer(self) -> TemplateRenderer:
        """Return what turns prompts into token ids."""
        return self._model.renderer

    def check_available(self, lora: Lora | None) -> None:
        """Guarantee that the service is reachable, accepts the key and can train such an adapter on the model.

        Raises:
            BackendError: one of these does not hold.
        """
        if lora is not None and lora.start is not None:
            raise BackendError(
                "the Tinker service cannot start training from an adapter on this machine; remove --warm-start"
            )
        if lora is not None and lora.rank & (lora.rank - 1):
            below = 1 << (lora.rank.bit_length() - 1)
            raise BackendError(
                f"--rank {lora.rank} is not a power of 2, which the Tinker service requires; use {below} or {2 * below}"
            )
        self._model.check_available(trained=True)

    def sampler(self, weights: WeightsURI | None) -> AbstractContextManager[Sampler]:
        """Return a sampler of the model with the given weights: a URI of the service, or a directory that contains the note."""
        if weights is None or weights.startswith(REMOTE):
            return self._model.sampler(weights)
        return self._model.sampler(read_note(self._directory / weights).weights)

    @contextmanager
    def trainer(self, lora: Lora, resume: StateURI | None) -> Iterator[TinkerTrainer]:
        """Yield a trainer that starts from scratch, or from a saved state including the optimizer, in a new session."""
        options = self._model.options
        with open_connection(options) as connection, Background() as background:
            self._model.context(connection, trained=True)
            service = connection.service()
            if resume is None:
                client = connection.call(
                    lambda: service.create_lora_training_client(
                        self.id,
                        rank=lora.rank,
                        seed=lora.seed,
                        train_attn=options.train_attention,
                        train_mlp=options.train_mlp,
                        train_unembed=options.train_output,
                    )
                )
            else:
                client = self._resume(connection, service, resume)
            yield TinkerTrainer(connection, client, background, options, self.id, self._directory.name)

    def _resume(self, connection: Connection, service: Any, state: StateURI) -> Any:
        try:
            return connection.call_raw(lambda: service.create_training_client_from_state_with_optimizer(state))
        except Exception as error:  # noqa: BLE001 - the client raises its own errors and plain ones
            if verdict(error) != "gone":
                raise to_backend_error(error, connection.url) from None
            raise BackendError(
                f"the service no longer has the saved state '{state}' ({detail(error)}); train from scratch in another --run-dir, "
                f"with --from {self._directory} to reuse the answers"
            ) from None

    def check_export(self, weights: WeightsURI, folder: Path, examples: Sequence[tuple[Request, TokenIds]]) -> str:
        """Check that the downloaded adapter in `folder` is the trained model, note the result there and return it as a line.

        Args:
            weights: URI of the trained weights on the service.
            examples: held-out requests to the student, with the token ids of their targets.
        """
        return local_copy.check(self, self._model.options, weights, folder, examples)

    def local_copy(self) -> Student | None:
        """Return the student on this machine if its adapter passed the check; None if it can only be used on the service."""
        return local_copy.student(self._model.options, self._directory)

    def release(self, uri: StateURI | WeightsURI) -> None:
        """Do nothing: the service deletes saved states when they expire."""
