import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from pdistill.backends.fake import FakeBackend, FakeOptions
from pdistill.backends.fake.answers import Echo, Rule
from pdistill.backends.fake.linear import LinearModel
from pdistill.backends.fake.renderer import END, FakeRenderer, encode
from pdistill.backends.fake.sampler import FakeSampler
from pdistill.backends.fake.student import FakeStudent, FakeTrainer
from pdistill.core.contract.batches import Batch
from pdistill.core.contract.interfaces import StepMetrics, WeightsURI
from pdistill.core.contract.plugins import installed
from pdistill.core.contract.prices import FREE
from pdistill.core.contract.prompts import Prompt, Text
from pdistill.core.contract.queries import Query
from pdistill.core.contract.sampling import Completion, Key, Request, Sampling
from pdistill.core.contract.targets import HardTarget, Rejected
from pdistill.core.contract.task import Task
from pdistill.core.pipeline import generate
from pdistill.core.setup.config import Config
from pdistill.core.store.rows import read_rows
from pdistill.testing import backend_checks, check_backend, check_task, task_checks, teacher_checks


class Colours(Task):
    """A task that passes all checks; each test breaks one."""

    prompt = "Name the colour of the thing in the text\nBlue:blue\nRed:red"
    labels = ("blue", "red")
    asked: tuple[Query, ...] = (Query("the sky", reference="blue"), Query("a ripe tomato", reference="red"))

    def queries(self) -> Iterable[Query]:
        return self.asked


def changed(**attributes: object) -> Colours:
    task = Colours()
    for name, value in attributes.items():
        setattr(task, name, value)
    return task


def drawn() -> Callable[[], Iterable[Query]]:
    numbers = iter(range(100))
    return lambda: (Query(f"thing {next(numbers)}") for _ in range(2))


def lenient(query: Query, completion: Completion) -> HardTarget | Rejected:
    return HardTarget(next((label for label in ("blue", "red") if label in completion.text), completion.text))


BROKEN = {
    "queries_are_stable": changed(queries=drawn()),
    "ids_are_unique": changed(asked=(Query("the sky", id="a"), Query("the sea", id="a"))),
    "queries_have_text": changed(asked=(Query("the sky"), Query("  "))),
    "prompt_fits_the_format": changed(prompt="\n"),
    "teacher_sees_prompt_and_query": changed(teacher_prompt=lambda query: Text("Name the colour")),
    "student_sees_only_the_query": changed(student_frame="Name the colour of the thing in the text: {query}"),
    "empty_answers_are_rejected": changed(target=lenient),
    "labels_are_read_strictly": changed(target=lenient),
    "references_are_targets": changed(asked=(Query("grass", reference="green"),)),
    "agreement_is_a_share": changed(agreement=lambda query, text, other: 0.0),
}


def test_check_task_passes_a_correct_task() -> None:
    check_task(Colours())


def test_there_is_a_broken_task_for_every_check() -> None:
    assert set(BROKEN) == set(task_checks())


@pytest.mark.parametrize("check", BROKEN)
def test_check_task_names_the_failed_check(check: str) -> None:
    with pytest.raises(AssertionError, match=f"^{check}: "):
        check_task(BROKEN[check], check)


def test_check_task_finds_a_query_that_the_student_is_not_asked() -> None:
    task = changed(student_prompt=lambda query: Text("say something"))
    with pytest.raises(AssertionError, match="student's prompt lacks query"):
        check_task(task)


def losing_one(
    generate: Callable[..., Iterator[tuple[Key, Completion]]],
) -> Callable[..., Iterator[tuple[Key, Completion]]]:
    def lossy(self: FakeSampler, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Key, Completion]]:
        answers = list(generate(self, requests, sampling))
        yield from answers[: max(1, len(answers) - 1)]

    return lossy


def deaf_to_stops(
    generate: Callable[..., Iterator[tuple[Key, Completion]]],
) -> Callable[..., Iterator[tuple[Key, Completion]]]:
    return lambda self, requests, sampling: generate(self, requests, replace(sampling, stop=()))


def always_stop(
    generate: Callable[..., Iterator[tuple[Key, Completion]]],
) -> Callable[..., Iterator[tuple[Key, Completion]]]:
    return lambda self, requests, sampling: (
        (key, replace(answer, finish="stop")) for key, answer in generate(self, requests, sampling)
    )


def miscounting(
    generate: Callable[..., Iterator[tuple[Key, Completion]]],
) -> Callable[..., Iterator[tuple[Key, Completion]]]:
    return lambda self, requests, sampling: (
        (key, replace(answer, prompt_tokens=answer.prompt_tokens - 1))
        for key, answer in generate(self, requests, sampling)
    )


def cutting_prompts(
    complete: Callable[[FakeSampler, Request, Sampling], Completion],
) -> Callable[[FakeSampler, Request, Sampling], Completion]:
    def cut(self: FakeSampler, request: Request, sampling: Sampling) -> Completion:
        return replace(complete(self, replace(request, prompt=Text("the end of it")), sampling), prompt_tokens=512)

    return cut


def losing_what_is_sent_ahead(
    step: Callable[[FakeTrainer, Batch, float], Future[StepMetrics]],
) -> Callable[[FakeTrainer, Batch, float], Future[StepMetrics]]:
    last: list[Future[StepMetrics]] = []

    def lossy(self: FakeTrainer, batch: Batch, rate: float) -> Future[StepMetrics]:
        if not last or last[-1].done():
            last.append(step(self, batch, rate))
        return last[-1]

    return lossy


def counting(resolve: object) -> Callable[[FakeBackend, object], dict[str, int]]:
    numbers = count()
    return lambda self, stored: {"number": next(numbers)}


def restless(answer: Callable[[Rule, Prompt], str]) -> Callable[[Rule, Prompt], str]:
    numbers = iter(range(1000))
    return lambda self, prompt: f"{answer(self, prompt)} {next(numbers)}"


def hasty(save: object) -> Callable[[FakeTrainer, str], Future[WeightsURI]]:
    def save_weights(self: FakeTrainer, name: str) -> Future[WeightsURI]:
        done: Future[WeightsURI] = Future()
        done.set_result(WeightsURI("checkpoints/none.json"))
        return done

    return save_weights


BREAKS = [
    (
        "renders_targets",
        FakeRenderer,
        "target_ids",
        lambda real: lambda self, prompt, text: real(self, prompt, text)[:-1],
    ),
    (
        "renders_targets_as_in_conversations",
        FakeRenderer,
        "target_ids",
        lambda real: lambda self, prompt, text: [*(encode(letter)[0] for letter in text), END],
    ),
    ("tells_renderers_apart", FakeRenderer, "identity", lambda real: lambda self: {}),
    ("answers_do_not_depend_on_order", Rule, "answer", restless),
    ("scores_tokens", FakeSampler, "_score", lambda real: lambda self, prompt, ids, k: real(self, prompt, ids[1:], k)),
    ("takes_every_kind_of_batch", LinearModel, "step", lambda real: lambda self, places, rate: float("nan")),
    ("futures_finish_in_order", FakeTrainer, "save_weights", hasty),
    ("training_leaves_the_base_alone", Rule, "answer", restless),
    ("renders_prompts", FakeRenderer, "prompt_ids", lambda real: lambda self, prompt: real(self, prompt)[-2:]),
    ("answers_each_request_once", FakeSampler, "generate", losing_one),
    ("counts_tokens", FakeSampler, "generate", miscounting),
    ("tells_prices", FakeBackend, "prices", lambda real: lambda self, model: replace(FREE, sampled=-1.0)),
    ("ends_at_stop_texts", FakeSampler, "generate", deaf_to_stops),
    ("says_what_was_cut_off", FakeSampler, "generate", always_stop),
    (
        "training_lowers_the_loss",
        LinearModel,
        "step",
        lambda real: lambda self, places, rate: real(self, places, -rate),
    ),
    ("resumes_where_it_stopped", LinearModel, "to_json", lambda real: lambda self, optimizer: real(self, False)),
    (
        "counts_tokens",
        FakeSampler,
        "_complete",
        lambda real: lambda self, *asked: replace(real(self, *asked), prompt_tokens=1),
    ),
    (
        "draws_as_asked",
        FakeSampler,
        "_complete",
        lambda real: lambda self, request, sampling: real(self, request, replace(sampling, top_p=1.0)),
    ),
    (
        "keeps_to_what_is_allowed",
        FakeSampler,
        "_complete",
        lambda real: lambda self, request, sampling: real(self, request, replace(sampling, allowed=None)),
    ),
    ("holds_a_window", FakeSampler, "generate", lambda real: lambda self, asked, how: real(self, list(asked), how)),
    ("names_what_does_not_fit", FakeSampler, "_complete", cutting_prompts),
    ("refuses_models_that_are_not_there", FakeBackend, "_model", lambda real: lambda self, name, always: Echo()),
    ("resolves_once", FakeBackend, "resolve", counting),
    ("steps_may_be_sent_ahead", FakeTrainer, "step", losing_what_is_sent_ahead),
    (
        "releases_more_than_once",
        FakeStudent,
        "release",
        lambda real: lambda self, uri: (self._directory / uri).unlink(),
    ),
    ("exports_the_student", FakeTrainer, "export", lambda real: lambda self, weights, directory: None),
]


def test_there_is_a_broken_backend_for_every_check() -> None:
    assert {check for check, *_ in BREAKS} == set(backend_checks())


def test_the_checks_of_a_teacher_train_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert {"draws_as_asked", "counts_tokens", "tells_prices"} < set(teacher_checks()) < set(backend_checks())
    monkeypatch.setattr(FakeStudent, "renderer", None)
    monkeypatch.setattr(FakeStudent, "trainer", None)
    check_backend(FakeBackend(), *teacher_checks(), teacher_model="rule", student_model="rule", directory=tmp_path)


@pytest.mark.parametrize(("check", "owner", "method", "wrap"), BREAKS, ids=[check for check, *_ in BREAKS])
def test_check_backend_names_the_failed_check(
    check: str,
    owner: type,
    method: str,
    wrap: Callable[[object], object],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(owner, method, wrap(getattr(owner, method)))
    with pytest.raises(AssertionError, match=f"^{check}: "):
        check_backend(
            FakeBackend(FakeOptions(latency=0.001)),
            check,
            teacher_model="rule",
            student_model="rule",
            directory=tmp_path,
        )


def test_fake_backend_is_registered_while_a_test_runs(
    fake_backend: Callable[..., FakeBackend], run_directory: Path, tmp_path: Path
) -> None:
    (tmp_path / "prompt.txt").write_text("Say which it is")
    (tmp_path / "queries.txt").write_text("the sky\na ripe tomato\n")
    fake_backend(teacher={"the sky": "blue", "a ripe tomato": "red"}, name="painter")
    config = Config(
        prompt=tmp_path / "prompt.txt", queries=tmp_path / "queries.txt", backend="painter", run_dir=run_directory
    )
    generate(config)
    assert [row["response"] for row in read_rows(run_directory / "responses.jsonl")] == ["blue", "red"]


def test_a_registered_backend_is_gone_after_the_test() -> None:
    assert "painter" not in installed().backends


def test_the_plugin_imports_nothing_heavy() -> None:
    code = (
        "import sys, pdistill.testing; "
        "print(*{'numpy', 'pydantic', 'scipy', 'torch', 'pdistill.backends.fake'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
