"""Asks the questions of the probes, and stores every answer and every log-probability at once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pdistill.core.answers.answer import Answers, Question, Reuse
from pdistill.core.contract.batches import TokenIds
from pdistill.core.contract.interfaces import Renderer, Scorer, TokenScores
from pdistill.core.contract.prices import Tokens
from pdistill.core.contract.prompts import prompt_hash
from pdistill.core.contract.sampling import Completion, Key, Request, Sampling, request_seed
from pdistill.core.contract.task import Task
from pdistill.core.errors import ContextError
from pdistill.core.money.budget import Meter
from pdistill.core.probes.questions import prompt_of, question_of
from pdistill.core.progress import Progress, Silent
from pdistill.core.store.rowfile import RowWriter
from pdistill.core.store.rows import Row, read_rows
from pdistill.core.store.rundir import RunDirectory
from pdistill.core.store.settings import sampling_from

LONGEST_RECITAL = 96
"""Tokens that a student has to recite its prompt in."""
LONGEST_LABEL = 16
LIKELIEST = 16
"""How many of the likeliest tokens are stored at each place of a text; services give up to 20."""
TOGETHER = 8
"""Texts that a sampler with chunks scores in one call: each of their tokens needs the logits of all tokens there are."""
UNFIT = Completion("", "error")


def nothing(question: Question) -> Row | None:
    """Return None: no answer is there to be reused."""
    return None


@dataclass(frozen=True, slots=True)
class Probing:
    """The probes of one run.

    Args:
        settings: what generate.json resolved.
    """

    task: Task
    run: RunDirectory
    settings: Mapping[str, Any]
    progress: Progress

    def ask(self, arm: str, sampler: Any, meter: Meter, reuse: Reuse = nothing) -> None:
        """Guarantee that the arm has answered all of its probes.

        Args:
            sampler: the arm's model, a `Scorer` where one of its probes asks for log-probabilities.

        Raises:
            RunError: the run could pass the limit of what it may cost; the answers that came are kept.
        """
        missing = self.run.unprobed(arm)
        if not missing:
            return
        rows = list(read_rows(self.run.check(self.run.probes)))
        self.progress.begin(f"probes: {arm}", sum(row["probe"] in missing for row in rows), 0, "answers")
        for probe in missing:
            own = [row for row in rows if row["probe"] == probe]
            with self.run.probe(probe, arm).open(len(own)) as writer:
                self.progress.advance(writer.count)
                if probe == "retention":
                    self._score(own, arm, sampler, meter, writer)
                else:
                    self._answer(own, arm, sampler, meter, writer, reuse)
                writer.finish(self.run.seal)
        self.progress.end()

    def _questions(self, rows: Sequence[Row], arm: str) -> list[Question]:
        seed = self.settings["seed"]
        return [asked(self.task, row, arm, request_seed(seed, row["id"], 0)) for row in rows]

    def _answer(
        self, rows: Sequence[Row], arm: str, sampler: Any, meter: Meter, writer: RowWriter, reuse: Reuse
    ) -> None:
        """Store the answers; a question that does not fit the model's context has an answer that failed."""
        questions = self._questions(rows, arm)
        unfit: set[int] = set()

        def known(question: Question) -> Row | None:
            return question.row(UNFIT) if question.query.number in unfit else reuse(question)

        sampling = sampling_of(rows[0]["probe"], arm, self.settings)
        place = lambda question: question.query.number  # noqa: E731
        answers = Answers(lambda: questions, sampling, writer, place, known, meter, self.progress)
        _without_unfit(lambda: answers.collect(sampler), unfit)

    def _score(self, rows: Sequence[Row], arm: str, scorer: Scorer, meter: Meter, writer: RowWriter) -> None:
        """Store the log-probabilities; those of a sampler with chunks all together, or none."""
        assert meter.renderer is not None
        if scorer.chunk is not None:
            writer.keep(0)
        questions = self._questions(rows, arm)
        targets = [text_ids(meter.renderer, question, row) for question, row in zip(questions, rows, strict=True)]
        unfit: set[int] = set()

        def collect() -> None:
            due = [number for number in range(len(rows)) if number not in writer and number not in unfit]
            most = Tokens()
            for number in due:
                most += scored_tokens(meter.renderer, questions[number], targets[number])
            if not meter.budget.reserve(meter.role, most):
                raise meter.budget.reached(meter.role, most, f"scoring {len(due)} texts")
            items = [(questions[number].request, targets[number]) for number in due]
            size = len(rows) if scorer.chunk is None else TOGETHER
            parts = (items[at : at + size] for at in range(0, len(items), size))
            scored = (
                _row(meter.renderer, questions[key.number], targets[key.number], scores)
                for part in parts
                for key, scores in scorer.score(part, LIKELIEST)
            )
            for batch in [list(scored)] if scorer.chunk is not None else ([row] for row in scored):
                self._append(writer, batch, meter)
            meter.budget.settle(meter.role, most, most)

        _without_unfit(collect, unfit)
        self._append(writer, [questions[number].row(UNFIT) for number in sorted(unfit)], meter)

    def _append(self, writer: RowWriter, rows: list[dict[str, Any]], meter: Meter) -> None:
        writer.append(rows)
        self.progress.advance(len(rows), meter.budget.note())


def probing_teacher(
    task: Task, run: RunDirectory, settings: Mapping[str, Any], before: RunDirectory | None
) -> Callable[[Any, Meter], None] | None:
    """Return what asks the teacher its probes, or None where it has answered them.

    Args:
        before: a run whose answers are reused.
    """
    if not run.unprobed("teacher"):
        return None
    probing = Probing(task, run, settings, Silent())
    return lambda sampler, meter: probing.ask("teacher", sampler, meter, earlier(before))


def sampling_of(probe: str, arm: str, settings: Mapping[str, Any]) -> Sampling:
    """Return how an arm's answers to a probe are drawn: the teacher's as in its pass, all others greedily."""
    own = sampling_from(settings)
    if probe == "leakage":
        return Sampling(max_tokens=LONGEST_RECITAL)
    if probe == "welcome":
        return Sampling(max_tokens=LONGEST_LABEL, stop_at_newline=own.stop_at_newline)
    return own if arm == "teacher" else replace(own, temperature=0.0, top_p=1.0)


def asked(task: Task, row: Row, arm: str, seed: int = 0) -> Question:
    """Return what an arm is asked in a row of probes.jsonl."""
    return Question(question_of(row), Request(Key(row["number"]), prompt_of(task, row, arm), seed))


def text_ids(renderer: Renderer, question: Question, row: Row) -> TokenIds:
    """Return the ids of the text that is scored after the question, without an end token."""
    return renderer.target_ids(question.request.prompt, row["rest"])[:-1]


def scored_tokens(renderer: Renderer | None, question: Question, target: TokenIds) -> Tokens:
    """Return what scoring a text takes: all of it is read, and a service draws one token."""
    assert renderer is not None
    return Tokens(len(renderer.prompt_ids(question.request.prompt)) + len(target), 1)


def earlier(run: RunDirectory | None) -> Reuse:
    """Return what finds the teacher's answer to a question in an earlier run."""
    rows = run.probe("injection", "teacher") if run else None
    stored = {row["prompt"]: row for row in read_rows(rows.path)} if rows and rows.complete else {}

    def reuse(question: Question) -> Row | None:
        row = stored.get(prompt_hash(question.request.prompt))
        query = question.query
        return None if row is None else {**row, "number": query.number, "id": query.id, "reused": True}

    return reuse


def _row(renderer: Renderer | None, question: Question, target: TokenIds, scores: TokenScores) -> dict[str, Any]:
    used = scored_tokens(renderer, question, target)
    return {
        **question.row(Completion("", "stop", used.prompt, used.sampled)),
        "logprobs": _rounded(scores.logprobs),
        "top_ids": [list(ids) for ids in scores.top_ids],
        "top_logprobs": [_rounded(place) for place in scores.top_logprobs],
    }


def _rounded(logprobs: Sequence[float]) -> list[float]:
    return [round(logprob, 6) for logprob in logprobs]


def _without_unfit(collect: Callable[[], None], unfit: set[int]) -> None:
    """Collect, and again without each question that does not fit the model's context."""
    while True:
        try:
            return collect()
        except ContextError as error:
            if error.number in unfit:
                raise
            unfit.add(error.number)


def answers_to(run: RunDirectory, probe: str, arm: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield the questions of a probe with the arm's answers.

    Raises:
        RunError: an answer is missing, or a file was changed.
    """
    questions = (row for row in read_rows(run.check(run.probes)) if row["probe"] == probe)
    yield from zip(questions, read_rows(run.check(run.probe(probe, arm).path)), strict=True)
