"""Runs whose student is trained by a service: its first state is saved, it resumes after a failure, and its export is checked."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from pdistill.backends.fake import FakeBackend, FakeOptions
from pdistill.backends.fake.student import FakeStudent
from pdistill.core import pipeline
from pdistill.core.contract.batches import Batch, TokenIds
from pdistill.core.contract.interfaces import Lora, Remote, RemoteStudent, StateURI, Student, Trainer, WeightsURI
from pdistill.core.contract.plugins import installed
from pdistill.core.contract.queries import Query
from pdistill.core.contract.sampling import Request
from pdistill.core.delivery.ask import open_arm
from pdistill.core.errors import BackendError, BrokenOffError, RunError
from pdistill.core.progress import Silent
from pdistill.core.setup.config import Config
from pdistill.core.store.rows import read_log, read_rows
from pdistill.core.store.rundir import RunDirectory
from tests.runs import fake_config


@dataclass
class Service:
    """How the service behaves in a test, and what it recorded."""

    breaks: set[int] = field(default_factory=set)
    always: bool = False
    refuses: str = ""
    reached: list[Lora | None] = field(default_factory=list)
    steps: int = 0
    checked: list[tuple[Request, TokenIds]] = field(default_factory=list)
    asked_at_home: int = 0


class ServiceTrainer:
    """The fake trainer, until it fails."""

    def __init__(self, trainer: Trainer, service: Service) -> None:
        self._trainer = trainer
        self._service = service
        self._broken = False

    def step(self, batch: Batch, learning_rate: float) -> "Future[Any]":
        self._service.steps += 1
        self._broken = self._broken or self._service.always or self._service.steps in self._service.breaks
        return self._or_broken(lambda: self._trainer.step(batch, learning_rate))

    def save_state(self, name: str) -> "Future[Any]":
        return self._or_broken(lambda: self._trainer.save_state(name))

    def save_weights(self, name: str) -> "Future[Any]":
        return self._or_broken(lambda: self._trainer.save_weights(name))

    def export(self, weights: WeightsURI, directory: Path) -> None:
        self._trainer.export(weights, directory)

    def _or_broken(self, call: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        if not self._broken:
            result: Future[Any] = call()
            return result
        future.set_exception(BrokenOffError("the training on the service broke off: cut"))
        return future


class ServiceStudent(FakeStudent):
    """The fake student, as if it were on a service."""

    service: Service

    def check_available(self, lora: Lora | None) -> None:
        self.service.reached.append(lora)
        if self.service.refuses:
            raise BackendError(self.service.refuses)

    @contextmanager
    def trainer(self, lora: Lora, resume: StateURI | None) -> Iterator[Any]:
        with super().trainer(lora, resume) as trainer:
            yield ServiceTrainer(trainer, self.service)

    def check_export(self, weights: WeightsURI, folder: Path, examples: Sequence[tuple[Request, TokenIds]]) -> str:
        self.service.checked = list(examples)
        return "the adapter was checked"

    def local_copy(self) -> Student | None:
        self.service.asked_at_home += 1
        return self

    def release(self, uri: StateURI | WeightsURI) -> None:
        """Keep the state, as a service does."""


class Told(Silent):
    """Progress that keeps its messages, one per line."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()

    class ServiceBackend(FakeBackend):
        def student(self, model: str, directory: Path) -> ServiceStudent:
            student = ServiceStudent.__new__(ServiceStudent)
            vars(student).update(vars(super().student(model, directory)), service=made)
            return student

    backends = installed().backends
    backends.register("service", ServiceBackend, options=FakeOptions)
    yield made
    backends.remove("service")


def config(folder: Path, name: str) -> Config:
    return fake_config(folder, folder / name, backend="service", epochs=4, batch_size=8)


def test_the_tests_service_is_a_remote_one_and_the_fake_is_not(tmp_path: Path, service: Service) -> None:
    student: object = installed().backends["service"].create(FakeOptions()).student("rule", tmp_path)
    assert isinstance(student, Remote)
    assert isinstance(student, RemoteStudent)
    assert not isinstance(FakeBackend().student("rule", tmp_path), Remote)


def test_failed_training_resumes_from_its_last_checkpoint(tmp_path: Path, service: Service) -> None:
    pipeline.run(config(tmp_path, "whole"))
    steps, service.steps, service.breaks = service.steps, 0, {3, 11}
    told = Told()
    pipeline.run(config(tmp_path, "broken"), told)
    assert service.steps > steps
    for name in ("metrics.jsonl", "predictions-student.jsonl"):
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    broke = [line for line in told.lines if "broke off" in line]
    assert broke == [
        "the training on the service broke off: cut; resuming from step 0",
        "the training on the service broke off: cut; resuming from step 5",
    ]
    assert [row["step"] for row in read_log(tmp_path / "broken" / "checkpoints.jsonl")][:2] == [0, 5]


def test_repeatedly_failing_training_ends_with_a_one_line_error(tmp_path: Path, service: Service) -> None:
    service.always = True
    with pytest.raises(BrokenOffError, match="broke off: cut$"):
        pipeline.run(config(tmp_path, "run"))
    assert [row["step"] for row in read_log(tmp_path / "run" / "checkpoints.jsonl")] == [0]
    service.always = False
    pipeline.run(config(tmp_path, "run"))
    assert RunDirectory(tmp_path / "run").adapter.exists()


def test_service_is_checked_before_the_run_starts(tmp_path: Path, service: Service) -> None:
    service.refuses = "the key is refused"
    with pytest.raises(BackendError, match="the key is refused"):
        pipeline.run(config(tmp_path, "run"))
    assert service.reached == [Lora(rank=32)]
    assert not (tmp_path / "run" / "run.json").exists()


def test_the_export_is_checked_with_held_out_examples(tmp_path: Path, service: Service) -> None:
    told = Told()
    pipeline.run(config(tmp_path, "run"), told)
    rows = [json.loads(line) for line in (tmp_path / "run" / "examples.jsonl").read_text().splitlines()]
    held_out = [row["number"] for row in rows if row["split"] == "eval" and row["target"]]
    assert [request.key.number for request, _ in service.checked] == held_out
    assert all(len(ids) for _, ids in service.checked)
    assert "the adapter was checked" in told.lines


def test_student_with_a_local_copy_answers_locally(tmp_path: Path, service: Service) -> None:
    pipeline.run(config(tmp_path, "run"))
    with open_arm(RunDirectory(tmp_path / "run")) as student:
        (answer,) = student.answer([Query("cats jump on hill 2")])
    assert service.asked_at_home == 1
    assert answer.finish == "stop"


def priced(folder: Path, name: str, **changes: Any) -> Config:
    prices = {"price_prompt": "3", "price_sampled": "15", "price_trained": "6"}
    return replace(config(folder, name), backend_options=prices, **changes)


def test_repeated_steps_are_counted_twice(tmp_path: Path, service: Service) -> None:
    whole = pipeline.run(priced(tmp_path, "whole"))["cost"]
    steps = list(read_rows(tmp_path / "whole" / "metrics.jsonl"))
    service.steps, service.breaks = 0, {4, 14}
    broken = pipeline.run(priced(tmp_path, "broken"))["cost"]
    again = [number - 1 for number in (1, 2, 3, 6, 7, 8)]
    more = sum(steps[number]["sequence_tokens"] for number in again)
    assert broken["train"]["sequence_tokens"] == whole["train"]["sequence_tokens"] + more
    assert [row["steps"] for row in read_log(tmp_path / "broken" / "repeated.jsonl")] == [3, 3]
    assert broken["usd"] > whole["usd"]
    assert not (tmp_path / "whole" / "repeated.jsonl").exists()


def test_failed_training_releases_its_reserved_budget(tmp_path: Path, service: Service) -> None:
    whole = pipeline.run(priced(tmp_path, "whole"))["cost"]
    step = whole["train"]["usd"] / len(list(read_rows(tmp_path / "whole" / "metrics.jsonl")))
    service.steps, service.breaks = 0, {2, 5}
    pipeline.generate(priced(tmp_path, "broken"))
    limit = whole["generate"]["usd"] + whole["train"]["usd"] + 8 * step
    pipeline.train(RunDirectory(tmp_path / "broken"), {}, max_cost=limit)
    assert RunDirectory(tmp_path / "broken").adapter.exists()


def test_adapter_check_counts_towards_the_limit(tmp_path: Path, service: Service) -> None:
    whole = pipeline.run(priced(tmp_path, "whole"))["cost"]
    run = RunDirectory(tmp_path / "limited")
    pipeline.generate(priced(tmp_path, "limited"))
    service.checked = []
    with pytest.raises(RunError, match="the check of the adapter could cost"):
        pipeline.train(run, {}, max_cost=whole["generate"]["usd"] + whole["train"]["usd"] + 1e-6)
    assert (run.metrics().complete, run.adapter.exists(), service.checked) == (True, False, [])
    pipeline.train(run, {})
    assert run.adapter.exists()
    assert service.checked
