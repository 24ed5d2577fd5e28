"""Asks the questions of the probes, and stores every answer and every log-probability at once."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

from pdistill.core.answers.collect import Answers, Question, Reuse, no_reuse
from pdistill.core.contract.batches import TokenIds
from pdistill.core.contract.interfaces import Renderer, Sampler, Scorer, TokenScores
from pdistill.core.contract.jsontext import Row
from pdistill.core.contract.prices import Tokens
from pdistill.core.contract.prompts import prompt_hash
from pdistill.core.contract.sampling import Completion, Key, Request, Sampling, request_seed
from pdistill.core.contract.task import Task
from pdistill.core.errors import ContextError, TargetError
from pdistill.core.money.budget import Meter
from pdistill.core.probes.questions import prompt_of, question_of
from pdistill.core.progress import Progress
from pdistill.core.store.answerrow import AnswerRow
from pdistill.core.store.rowfile import AnswerWriter
from pdistill.core.store.rows import misplaced, read_records, read_rows, side_by_side
from pdistill.core.store.rundir import PROBE, RunDirectory
from pdistill.core.store.settings import GenerateSettings

MAX_RECITAL_TOKENS = 96
"""Tokens that a student has to recite its prompt in."""
MAX_LABEL_TOKENS = 16
TOP_K = 16
"""How many of the most likely tokens are stored at each place of a text; services give up to 20."""
SCORED_TOGETHER = 8
"""Texts that a sampler with chunks scores in one call: each of their tokens needs the logits of all tokens there are."""
UNFIT = Completion("", "error")


@dataclass(frozen=True, slots=True)
class Probing:
    """The probes of one run.

    Args:
        settings: what generate.json resolved.
    """

    task: Task
    run: RunDirectory
    settings: GenerateSettings
    progress: Progress

    def ask(self, arm: str, sampler: Sampler, meter: Meter, reuse: Reuse = no_reuse) -> None:
        """Guarantee that the arm has answered all of its probes.

        Args:
            sampler: the arm's model, a `Scorer` where one of its probes asks for log-probabilities.

        Raises:
            RunError: the run could pass the limit of what it may cost; the answers that came are kept.
        """
        missing = self.run.unprobed(arm)
        if not missing:
            return
        rows = list(read_rows(self.run.check(self.run.probes), PROBE))
        self.progress.begin(f"probes: {arm}", sum(row["probe"] in missing for row in rows), 0, "answers")
        for probe in missing:
            own = [row for row in rows if row["probe"] == probe]
            with self.run.probe(probe, arm).open(len(own)) as writer:
                self.progress.advance(writer.count)
                if probe == "retention":
                    self._score(own, arm, cast("Scorer", sampler), meter, writer)
                else:
                    self._answer(own, arm, sampler, meter, writer, reuse)
                writer.finish(self.run.seal)
        self.progress.end()

    def _questions(self, rows: Sequence[Row], arm: str) -> list[Question]:
        seed = self.settings.seed
        return [question_for(self.task, row, arm, request_seed(seed, row["id"], 0)) for row in rows]

    def _answer(
        self, rows: Sequence[Row], arm: str, sampler: Sampler, meter: Meter, writer: AnswerWriter, reuse: Reuse
    ) -> None:
        """Store the answers; a question that does not fit the model's context has an answer that failed."""
        questions = self._questions(rows, arm)
        unfit: set[int] = set()

        def known(question: Question) -> AnswerRow | None:
            return question.row(UNFIT) if question.query.number in unfit else reuse(question)

        sampling = sampling_of(rows[0]["probe"], arm, self.settings)
        answers = Answers(lambda: questions, sampling, writer, meter, self.progress, known)
        _without_unfit(lambda: answers.collect(sampler), unfit)

    def _score(self, rows: Sequence[Row], arm: str, scorer: Scorer, meter: Meter, writer: AnswerWriter) -> None:
        """Store the log-probabilities; those of a sampler with chunks all together, or none."""
        assert meter.renderer is not None
        if scorer.chunk is not None:
            writer.keep(0)
        questions = self._questions(rows, arm)
        targets = [text_ids(meter.renderer, question, row) for question, row in zip(questions, rows, strict=True)]
        unfit: set[int] = set()

        def collect() -> None:
            due = [number for number in range(len(rows)) if Key(number) not in writer and number not in unfit]
            most = Tokens()
            for number in due:
                most += scored_tokens(meter.renderer, questions[number], targets[number])
            if not meter.budget.reserve(meter.side, most):
                raise meter.budget.limit_error(meter.side, most, f"scoring {len(due)} texts")
            items = [(questions[number].request, targets[number]) for number in due]
            size = len(rows) if scorer.chunk is None else SCORED_TOGETHER
            parts = (items[at : at + size] for at in range(0, len(items), size))
            scored = (
                _row(meter.renderer, questions[key.number], targets[key.number], scores)
                for part in parts
                for key, scores in scorer.score(part, TOP_K)
            )
            for batch in [list(scored)] if scorer.chunk is not None else ([row] for row in scored):
                self._append(writer, batch, meter)
            meter.budget.charge(meter.side, most, most)

        _without_unfit(collect, unfit)
        self._append(writer, [questions[number].row(UNFIT) for number in sorted(unfit)], meter)

    def _append(self, writer: AnswerWriter, rows: list[AnswerRow], meter: Meter) -> None:
        writer.add(rows)
        self.progress.advance(len(rows), meter.budget.note())


def sampling_of(probe: str, arm: str, settings: GenerateSettings) -> Sampling:
    """Return how an arm's answers to a probe are sampled: the teacher's as in its pass, all others greedily."""
    own = settings.sampling
    if probe == "leakage":
        return Sampling(max_tokens=MAX_RECITAL_TOKENS)
    if probe == "welcome":
        return Sampling(max_tokens=MAX_LABEL_TOKENS, stop_at_newline=own.stop_at_newline)
    return own if arm == "teacher" else settings.greedy_sampling


def question_for(task: Task, row: Row, arm: str, seed: int = 0) -> Question:
    """Return the question for an arm in a row of probes.jsonl."""
    return Question(question_of(row), Request(Key(row["number"]), prompt_of(task, row, arm), seed))


def text_ids(renderer: Renderer, question: Question, row: Row) -> TokenIds:
    """Return the ids of the text that is scored after the question, without an end token."""
    try:
        return renderer.target_ids(question.request.prompt, row["rest"])[:-1]
    except TargetError as error:
        return error.ids[:-1]


def scored_tokens(renderer: Renderer | None, question: Question, target: TokenIds) -> Tokens:
    """Return what scoring a text takes: all of it is read, and a service samples one token."""
    assert renderer is not None
    return Tokens(len(renderer.prompt_ids(question.request.prompt)) + len(target), 1)


def earlier_answers(run: RunDirectory | None) -> Reuse:
    """Return what finds the teacher's answer to a question in an earlier run."""
    rows = run.probe("injection", "teacher") if run else None
    stored = {row.prompt: row for row in read_records(AnswerRow, rows.path)} if rows and rows.complete else {}

    def reuse(question: Question) -> AnswerRow | None:
        row = stored.get(prompt_hash(question.request.prompt))
        return None if row is None else replace(row, number=question.query.number, id=question.query.id, reused=True)

    return reuse


def _row(renderer: Renderer | None, question: Question, target: TokenIds, scores: TokenScores) -> AnswerRow:
    used = scored_tokens(renderer, question, target)
    return replace(question.row(Completion("", "stop", used.prompt, used.sampled)), scores=scores)


def _without_unfit(collect: Callable[[], None], unfit: set[int]) -> None:
    """Collect, and again without each question that does not fit the model's context."""
    while True:
        try:
            return collect()
        except ContextError as error:
            if error.number in unfit:
                raise
            unfit.add(error.number)


def answers_to(run: RunDirectory, probe: str, arm: str) -> Iterator[tuple[Row, AnswerRow]]:
    """Yield the questions of a probe with the arm's answers.

    Raises:
        RunError: an answer is missing, or a file was changed.
    """
    answers = run.check(run.probe(probe, arm).path)
    questions = (row for row in read_rows(run.check(run.probes), PROBE) if row["probe"] == probe)
    for question, answer in side_by_side(questions, read_records(AnswerRow, answers), (run.probes, answers)):
        if answer.number != question["number"]:
            raise misplaced(answers, question["number"])
        yield question, answer
