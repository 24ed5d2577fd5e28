"""The fake backend, for tests: deterministic models that answer at once, and a student that really learns."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pdistill.backends.fake.answers import Echo, Model, Rule, Script, Scripted
from pdistill.backends.fake.options import FakeOptions
from pdistill.backends.fake.renderer import FakeRenderer
from pdistill.backends.fake.sampler import Calls, FakeSampler
from pdistill.backends.fake.student import FakeStudent
from pdistill.core.contract.hookspecs import hookimpl
from pdistill.core.contract.interfaces import Backend, Capability
from pdistill.core.contract.prices import FREE, Prices, given_prices
from pdistill.core.contract.registry import Registry
from pdistill.core.errors import BackendError, nearest

__all__ = ["FakeBackend", "FakeOptions"]


class FakeBackend:
    """Runs the models "rule", "echo" and, if a teacher is given, "scripted".

    "rule" answers with one of the labels that the prompt names as `Name:label`, chosen by the query's last letter, and
    repeats the query where it sees no prompt. "echo" always repeats the query. As a student, each of them is the base;
    training adds a linear model over the query's words.

    Args:
        options: how the backend behaves.
        teacher: the model "scripted", which becomes the default: a function from prompt and query to the answer, or a
            mapping from query to answer.
    """

    def __init__(self, options: FakeOptions | None = None, *, teacher: Script | None = None) -> None:
        self._options = options or FakeOptions()
        self._script = teacher
        self._calls = Calls(self._options.fail_at, self._options.latency)
        self.default_model: str | None = "rule" if teacher is None else "scripted"

    def resolve(self, stored: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Return an empty mapping: no answer depends on the machine."""
        return {}

    def teacher(self, model: str) -> "FakeTeacher":
        """Return the model as a teacher.

        Raises:
            BackendError: there is no such model.
        """
        return FakeTeacher(model, self._model(model, always=True), self._options, self._calls)

    def student(self, model: str, directory: Path) -> FakeStudent:
        """Return the model as a student whose weights are files below `directory`.

        Raises:
            BackendError: there is no such model.
        """
        return FakeStudent(model, self._model(model, always=False), directory, self._options, self._calls)

    def prices(self, model: str) -> Prices | None:
        """Return the prices in the options; tokens without a price are free.

        Raises:
            UsageError: a price is negative.
        """
        options = self._options
        return given_prices(
            FREE, prompt=options.price_prompt, sampled=options.price_sampled, trained=options.price_trained
        )

    def _model(self, name: str, *, always: bool) -> Model:
        models: dict[str, Model] = {"rule": Rule(self._options.answers, always), "echo": Echo()}
        if self._script is not None:
            models["scripted"] = Scripted(self._script, always)
        if name not in models:
            choices = ", ".join(models)
            raise BackendError(
                f"the fake backend has no model '{name}'{nearest(name, models) or ';'} choose from {choices}"
            )
        return models[name]


class FakeTeacher:
    """A model that answers with the full prompt."""

    capabilities: frozenset[Capability] = frozenset(("generate", "score", "constrain-labels"))

    def __init__(self, id: str, model: Model, options: FakeOptions, calls: Calls) -> None:
        self.id = id
        self._model = model
        self._options = options
        self._calls = calls

    def renderer(self) -> FakeRenderer:
        """Return the toy tokenizer."""
        return FakeRenderer(self._options.chat_template)

    @contextmanager
    def sampler(self) -> Iterator[FakeSampler]:
        """Yield a sampler of the model."""
        yield FakeSampler(self._model, self._options, self._calls)


@hookimpl
def pdistill_register_backends(backends: Registry[Backend]) -> None:
    """Register the backend `fake`."""
    summary = "deterministic models and a student that really learns, for tests"
    backends.register("fake", FakeBackend, options=FakeOptions, summary=summary)
