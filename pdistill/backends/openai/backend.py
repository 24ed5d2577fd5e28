"""The teachers of the openai backend. It has no students: the models behind an endpoint can't be trained."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pdistill.backends.openai import OpenAIOptions
from pdistill.backends.openai.batches import BatchSampler
from pdistill.backends.openai.connection import address, open_connection
from pdistill.backends.openai.sampler import OpenAISampler
from pdistill.core.contract.interfaces import Capability, Lora, Sampler, Student
from pdistill.core.contract.prices import Prices, given_prices
from pdistill.core.errors import BackendError


class OpenAIBackend:
    """Models behind an OpenAI-compatible endpoint."""

    def __init__(self, options: OpenAIOptions) -> None:
        self.default_model: str | None = None
        self.options = options

    def resolve(self, stored: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Return the client's version and the service's address: the stored ones, or the current ones where none are stored.

        Raises:
            BackendError: the address contains a password.
        """
        return {"client": version("openai"), "service": address(self.options)} if stored is None else dict(stored)

    def prices(self, model: str) -> Prices | None:
        """Return the prices in the options; None if one is missing, as the API does not report prices.

        Raises:
            UsageError: a price is below 0.
        """
        return given_prices(None, prompt=self.options.price_prompt, sampled=self.options.price_sampled, trained=0.0)

    def teacher(self, model: str) -> "OpenAITeacher":
        """Return the model as a teacher; no request is sent to the service."""
        return OpenAITeacher(model, self.options)

    def student(self, model: str, directory: Path) -> Student:
        """Refuse: this backend has no students.

        Raises:
            BackendError: always.
        """
        raise BackendError(
            f"backend openai can't train '{model}', its models can only be teachers; choose a student of another backend, "
            "such as --student local:MODEL"
        )


class OpenAITeacher:
    """One model that answers with the prompt."""

    capabilities: frozenset[Capability] = frozenset(("generate",))

    def __init__(self, model: str, options: OpenAIOptions) -> None:
        self.id = model
        self._options = options

    def renderer(self) -> None:
        """Return None: only the service knows the model's tokenizer."""

    def check_available(self, lora: Lora | None) -> None:
        """Guarantee that the service is reachable, accepts the key and has the model; costs one token if it lists no models.

        Raises:
            BackendError: one of these does not hold.
        """
        with open_connection(self._options) as connection:
            connection.check(self.id)

    @contextmanager
    def sampler(self) -> Iterator[Sampler]:
        """Yield a sampler of the model."""
        with open_connection(self._options) as connection:
            connection.check(self.id)
            sampler_class = BatchSampler if self._options.batch else OpenAISampler
            yield sampler_class(connection, self.id, self._options)
