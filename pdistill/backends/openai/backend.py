"""The openai backend's teachers; what an endpoint only answers can't be trained, so it has no students."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pdistill.backends.openai import OpenAIOptions
from pdistill.backends.openai.batches import BatchSampler
from pdistill.backends.openai.connection import address, connected
from pdistill.backends.openai.sampler import OpenAISampler
from pdistill.core.contract.interfaces import Capability, Lora, Sampler, Student
from pdistill.core.contract.prices import Prices, given_prices
from pdistill.core.errors import BackendError


class OpenAIBackend:
    """Models that an endpoint answers for."""

    def __init__(self, options: OpenAIOptions) -> None:
        self.default_model: str | None = None
        self.options = options

    def resolve(self, stored: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Return the client's version and the service's address, as they are or as they were stored.

        Raises:
            BackendError: the address holds a password.
        """
        return {"client": version("openai"), "service": address(self.options)} if stored is None else dict(stored)

    def prices(self, model: str) -> Prices | None:
        """Return the prices that the options give; None where one is missing: the API tells none.

        Raises:
            UsageError: a price is below 0.
        """
        return given_prices(None, prompt=self.options.price_prompt, sampled=self.options.price_sampled, trained=0.0)

    def teacher(self, model: str) -> "OpenAITeacher":
        """Return the model as a teacher; nothing is asked of the service."""
        return OpenAITeacher(model, self.options)

    def student(self, model: str, directory: Path) -> Student:
        """Return nothing.

        Raises:
            BackendError: always; an endpoint trains nothing.
        """
        raise BackendError(
            f"backend openai can't train '{model}', its models only answer; name a student of another backend, such as "
            "--student local:MODEL"
        )


class OpenAITeacher:
    """One model that answers under the prompt."""

    capabilities: frozenset[Capability] = frozenset(("generate",))

    def __init__(self, model: str, options: OpenAIOptions) -> None:
        self.id = model
        self._options = options

    def renderer(self) -> None:
        """Return None: only the service knows the model's tokens."""

    def check_available(self, lora: Lora | None) -> None:
        """Guarantee that the service answers, takes the key and has the model; costs a token where it has no list of models.

        Raises:
            BackendError: it doesn't.
        """
        with connected(self._options) as connection:
            connection.check(self.id)

    @contextmanager
    def sampler(self) -> Iterator[Sampler]:
        """Give the model, opened."""
        with connected(self._options) as connection:
            connection.check(self.id)
            kind = BatchSampler if self._options.batch else OpenAISampler
            yield kind(connection, self.id, self._options)
