"""Which model and backend each side has, and what the two share."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from pdistill.backends.fake import FakeBackend, FakeOptions
from pdistill.core.contract.interfaces import MachineSettings
from pdistill.core.contract.plugins import installed
from pdistill.core.contract.task import FileTask
from pdistill.core.errors import RunError, UsageError
from pdistill.core.setup.config import Config
from pdistill.core.setup.models import (
    ModelSpec,
    check_addresses,
    open_models,
    resolve_model,
    resolve_models,
    row_options,
    side_options,
    with_options,
)

CONFIG = Config(prompt=Path("prompt.txt"), queries=Path("queries.jsonl"), backend="fake")


class Counting(FakeBackend):
    """Counts how often it is created, and gives what it resolves from what was stored."""

    created = 0
    default_model: str | None = None

    def __init__(self, options: FakeOptions) -> None:
        super().__init__(options)
        self.default_model = None
        type(self).created += 1

    def resolve(self, stored: MachineSettings | None) -> Mapping[str, Any]:
        return stored or {"threads": 4}


@pytest.fixture
def counting() -> Iterator[type[Counting]]:
    """Register the backend `counting`, which has no default model."""
    Counting.created = 0
    installed().backends.register("counting", Counting, options=FakeOptions)
    yield Counting
    installed().backends.remove("counting")


class Preferring(FileTask):
    """A task with a default model for one backend."""

    models = {"counting": "echo"}  # noqa: RUF012 - as a plugin writes it


@pytest.mark.parametrize(
    ("changes", "teacher", "student"),
    [
        ({}, "fake:rule", "fake:rule"),
        ({"teacher": "echo"}, "fake:echo", "fake:echo"),
        ({"student": "echo"}, "fake:rule", "fake:echo"),
        ({"teacher": "fake:echo", "student": "fake:rule", "backend": "local"}, "fake:echo", "fake:rule"),
        ({"teacher": "name:with:colons"}, "fake:name:with:colons", "fake:name:with:colons"),
        ({"teacher": "fake:./folder:x"}, "fake:./folder:x", "fake:./folder:x"),
    ],
)
def test_the_models_are_those_that_are_named(changes: dict[str, Any], teacher: str, student: str) -> None:
    specs = resolve_models(replace(CONFIG, **changes), FileTask())
    assert (specs["teacher"].id, specs["student"].id) == (teacher, student)


def test_the_tasks_model_comes_before_the_backends(counting: type[Counting]) -> None:
    config = replace(CONFIG, backend="counting")
    assert resolve_models(config, Preferring())["student"].id == "counting:echo"
    with pytest.raises(UsageError, match=r"there is no model; give --teacher MODEL \(backend counting has no default"):
        resolve_models(config, FileTask())
    with pytest.raises(UsageError, match="give --student MODEL"):
        resolve_model(None, "student", "counting", {})


def test_an_unknown_backend_or_option_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown backend 'fakr', did you mean 'fake'"):
        resolve_model("rule", "teacher", "fakr", {})
    with pytest.raises(UsageError, match="unknown option of backend fake: 'chnk', did you mean 'chunk'"):
        resolve_model("rule", "teacher", "fake", {"teacher.chnk": "1"})
    assert resolve_model("rule", "student", "fake", {"teacher.chnk": "1"}).options == {}


def test_an_option_of_one_side_takes_precedence_there() -> None:
    options = {"chunk": "1", "teacher.chunk": "2", "student.context": "9"}
    assert side_options(options, "teacher") == {"chunk": "2"}
    assert side_options(options, "student") == {"chunk": "1", "context": "9"}


def test_only_options_that_change_rows_identify_a_run() -> None:
    assert row_options({"chunk": 3, "latency": 1, "teacher.shuffle": True, "teacher.context": "8"}) == {
        "chunk": "3",
        "teacher.context": "8",
    }


@dataclass(frozen=True)
class Other:
    """Another model than `fake:rule` with chunks of 3, or the same."""

    spec: ModelSpec
    same: bool


SPEC = ModelSpec("fake", "rule", {"chunk": "3"})


@pytest.mark.parametrize(
    "other",
    [
        Other(ModelSpec("fake", "rule", {"chunk": 3}), same=True),
        Other(ModelSpec("fake", "rule", {"chunk": "3", "latency": "1"}), same=True),
        Other(ModelSpec("fake", "rule", {"chunk": "4"}), same=False),
        Other(ModelSpec("fake", "echo", {"chunk": "3"}), same=False),
        Other(ModelSpec("local", "rule", {"chunk": "3"}), same=False),
    ],
)
def test_a_model_is_the_same_where_nothing_that_changes_rows_differs(other: Other) -> None:
    assert SPEC.same_model(other.spec) is other.same
    assert other.spec.same_model(SPEC) is other.same
    assert open_models({"teacher": SPEC, "student": other.spec}).same_model is other.same


@pytest.mark.parametrize(("option", "created"), [({}, 1), ({"student.latency": "0.5"}, 2)])
def test_models_share_a_backend_where_its_options_are_the_same(
    counting: type[Counting], option: dict[str, str], created: int, tmp_path: Path
) -> None:
    config = replace(CONFIG, teacher="counting:rule", student="counting:echo", backend_options=option)
    specs = resolve_models(config, FileTask())
    counting.created = 0
    models = open_models(specs, {"student": {"threads": 2}})
    assert (counting.created, models.resolved) == (0, {})
    models.teacher.teacher()
    models.student.student(tmp_path)
    models.student.prices()
    assert counting.created == created
    assert models.resolved == {"teacher": {"threads": 4}, "student": {"threads": 2}}
    assert models.by_side == {"teacher": models.teacher, "student": models.student}


def test_prices_are_known_without_resolving_the_machine(counting: type[Counting]) -> None:
    models = open_models(resolve_models(replace(CONFIG, teacher="counting:rule"), FileTask()))
    assert models.teacher.prices() is not None
    assert models.resolved == {}


def test_options_that_are_given_later_may_change_no_row() -> None:
    config = replace(CONFIG, backend_options={"chunk": "3"}, run_dir=Path("runs/x"))
    assert with_options(config, {}, FileTask()) is config
    later = with_options(config, {"latency": "1", "chunk": 3}, FileTask())
    assert later.backend_options == {"chunk": 3, "latency": "1"}
    with pytest.raises(
        RunError, match=r"the run in 'runs/x' was made with other options: backend-options .*only options"
    ):
        with_options(config, {"chunk": "4"}, FileTask())
    with pytest.raises(UsageError, match="unknown option of backend fake: 'chnk'"):
        with_options(config, {"chnk": "4"}, FileTask())


def test_a_key_goes_to_no_address_that_only_the_run_names(monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(CONFIG, backend_options={"base_url": "https://other.example/v1"})
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    check_addresses(config, ["openai"], ())
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    check_addresses(config, ["fake"], ())
    check_addresses(config, ["openai"], ["base_url"])
    with pytest.raises(
        UsageError, match="names the address 'https://other.example/v1', to which OPENAI_API_KEY would be"
    ):
        check_addresses(config, ["openai"], ())
    with pytest.raises(UsageError, match="set OPENAI_BASE_URL to that address"):
        check_addresses(
            replace(config, backend_options={"teacher.base_url": "http://127.0.0.1.example"}), ["openai"], ()
        )
    check_addresses(replace(config, backend_options={"base_url": "http://127.0.0.1:8000/v1"}), ["openai"], ())
    monkeypatch.setenv("OPENAI_BASE_URL", "https://other.example/v1")
    check_addresses(config, ["openai"], ())
