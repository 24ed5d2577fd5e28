"""The questions of the probes, put to the models of the fake backend."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pdistill.backends.fake import FakeBackend, FakeOptions
from pdistill.backends.fake.renderer import FakeRenderer
from pdistill.core.contract.interfaces import Scorer, Side, TokenScores
from pdistill.core.contract.prices import FREE
from pdistill.core.contract.prompts import Messages, prompt_hash
from pdistill.core.contract.sampling import Completion, Key, Request, Sampling
from pdistill.core.contract.task import FileTask
from pdistill.core.errors import BackendError
from pdistill.core.money.budget import Budget, Meter
from pdistill.core.probes.asking import MAX_LABEL_TOKENS, MAX_RECITAL_TOKENS, Probing, earlier_answers, sampling_of
from pdistill.core.probes.questions import probe_rows, prompt_of
from pdistill.core.progress import Silent
from pdistill.core.store.answerrow import AnswerRow
from pdistill.core.store.rows import read_records, read_rows
from pdistill.core.store.rundir import PROBES, RunDirectory
from pdistill.core.store.settings import EvaluateSettings, GenerateSettings
from tests.run_builder import FRAME, LABELS, PROMPT, build_run, outcomes

QUESTIONS = {"leakage": 24, "retention": 48, "injection": 24, "welcome": 32}
ROWS = outcomes(f"query {at}" for at in range(10))
TASK = FileTask(LABELS).bound(prompt=PROMPT, student_frame=FRAME, format="chat")


def opened(path: Path, **options: Any) -> RunDirectory:
    """Return a run whose probes are not answered yet."""
    run = build_run(path, ROWS, probes={}, **options)
    for answers in run.path.glob("probes-*.jsonl"):
        answers.unlink()
    return run


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return opened(tmp_path / "run")


def ask(run: RunDirectory, arm: str, options: FakeOptions | None = None, earlier: RunDirectory | None = None) -> None:
    """Ask an arm its probes: the teacher as a teacher, base and student as the untrained student."""
    backend = FakeBackend(options)
    teacher, student = backend.teacher("rule"), backend.student("rule", run.path)
    side: Side = "teacher" if arm == "teacher" else "student"
    meter = Meter(Budget({side: FREE}, {}, None), side, FakeRenderer())
    with teacher.sampler() if arm == "teacher" else student.sampler(None) as sampler:
        probing = Probing(TASK, run, run.settings(GenerateSettings), Silent())
        probing.ask(arm, sampler, meter, earlier_answers(earlier))


def answers(run: RunDirectory, probe: str, arm: str) -> list[AnswerRow]:
    return list(read_records(AnswerRow, run.probe(probe, arm).path))


def test_every_question_has_its_row(run: RunDirectory) -> None:
    questions = list(read_rows(run.probes))
    for arm in ("teacher", "base", "student"):
        ask(run, arm)
        assert run.unprobed(arm) == []
    for probe, arms in PROBES.items():
        own = [row for row in questions if row["probe"] == probe]
        for arm in arms:
            rows = answers(run, probe, arm)
            assert [row.number for row in rows] == list(range(QUESTIONS[probe]))
            assert [row.query for row in rows] == [row["query"] for row in own]
            assert [row.prompt for row in rows] == [prompt_hash(prompt_of(TASK, row, arm)) for row in own]
            assert all(row.prompt_tokens > 0 for row in rows)
            assert all((row.scores is not None) == (probe == "retention") for row in rows)


def test_only_the_missing_probes_are_asked(run: RunDirectory) -> None:
    ask(run, "base")
    before = answers(run, "leakage", "base")
    run.probe("welcome", "base").path.unlink()
    options = FakeOptions(fail_at=QUESTIONS["welcome"] + 1)
    ask(run, "base", options)
    assert run.unprobed("base") == []
    assert answers(run, "leakage", "base") == before


@pytest.mark.parametrize("chunk", [0, 10])
def test_a_probe_resumes_with_the_same_bytes(tmp_path: Path, chunk: int) -> None:
    whole, broken = opened(tmp_path / "whole"), opened(tmp_path / "broken")
    ask(whole, "base", FakeOptions(chunk=chunk))
    for fails in (15, 40):
        with pytest.raises(BackendError, match="failed at call"):
            ask(broken, "base", FakeOptions(chunk=chunk, fail_at=fails))
    ask(broken, "base", FakeOptions(chunk=chunk))
    for probe in ("leakage", "retention", "welcome"):
        assert broken.probe(probe, "base").path.read_bytes() == whole.probe(probe, "base").path.read_bytes()


def test_what_is_left_out_is_not_asked(run: RunDirectory) -> None:
    left_out = {"retention": "the student fake:rule gives no log-probabilities"}
    run.write_settings(EvaluateSettings(same_model=False, left_out=left_out, resolved={}))
    ask(run, "base")
    assert not run.probe("retention", "base").path.exists()
    assert len(answers(run, "welcome", "base")) == QUESTIONS["welcome"]


def test_question_that_does_not_fit_is_left_out(tmp_path: Path) -> None:
    run = opened(tmp_path / "run", max_tokens=6)
    ask(run, "student", FakeOptions(context=60))
    attempts = answers(run, "leakage", "student")  # an answer to be recited in is longer than that
    assert {(row.finish, row.tokens) for row in attempts} == {("error", 0)}
    ask(run, "teacher", FakeOptions(context=60))
    assert {row.finish for row in answers(run, "injection", "teacher")} > {"error"}
    assert all((row.scores is None) == (row.finish == "error") for row in answers(run, "retention", "student"))


def test_answers_of_the_teacher_are_reused(run: RunDirectory, tmp_path: Path) -> None:
    ask(run, "teacher")
    later = opened(tmp_path / "later")
    ask(later, "teacher", FakeOptions(fail_at=1), earlier=run)
    before = [replace(row, reused=True) for row in answers(run, "injection", "teacher")]
    assert answers(later, "injection", "teacher") == before


class Recording:
    """Notes how it is asked; gives every token of a text the same log-probability."""

    chunk: int | None = None

    def __init__(self) -> None:
        self.sampling: list[Sampling] = []
        self.scored = 0

    def generate(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Key, Completion]]:
        self.sampling.append(sampling)
        for request in requests:
            assert isinstance(request.prompt, Messages)
            yield request.key, Completion("animal", "stop", 3, 2)

    def score(self, items: Iterable[tuple[Request, Any]], top_k: int) -> Iterator[tuple[Key, TokenScores]]:
        for request, ids in items:
            self.scored += 1
            yield request.key, TokenScores((-1.0,) * len(ids), ((7,),) * len(ids), ((-1.0,),) * len(ids))


def test_each_probe_has_its_own_limit_of_tokens(tmp_path: Path) -> None:
    run, sampler = opened(tmp_path / "run", temperature=2.0, max_tokens=5), Recording()
    scorer: Scorer = sampler
    settings = run.settings(GenerateSettings)
    probing = Probing(TASK, run, settings, Silent())
    probing.ask("base", scorer, Meter(Budget({"student": FREE}, {}, None), "student", FakeRenderer()))
    assert [each.max_tokens for each in sampler.sampling] == [MAX_RECITAL_TOKENS, MAX_LABEL_TOKENS]
    assert all(each.temperature == 0 for each in sampler.sampling)
    assert sampler.scored == QUESTIONS["retention"]
    assert sampling_of("injection", "teacher", settings) == settings.sampling
    assert sampling_of("injection", "student", settings) == settings.greedy_sampling


def test_a_run_without_probes_has_nothing_to_ask(tmp_path: Path) -> None:
    run = build_run(tmp_path / "run", ROWS)
    ask(run, "base", FakeOptions(fail_at=1))
    assert not list(run.path.glob("probes*"))


def test_the_questions_are_those_of_the_task(run: RunDirectory) -> None:
    assert list(read_rows(run.probes)) == list(probe_rows(TASK))
