"""Sends requests to a sampler and stores every answer immediately: the only way in which answers get into row files."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby

from pdistill.core.contract.interfaces import Sampler
from pdistill.core.contract.prompts import prompt_hash
from pdistill.core.contract.queries import Query
from pdistill.core.contract.sampling import Completion, Key, Request, Sampling
from pdistill.core.errors import BackendError, ContextError, RefusedError
from pdistill.core.money.budget import Meter
from pdistill.core.progress import Progress
from pdistill.core.store.answerrow import AnswerRow
from pdistill.core.store.rowfile import AnswerWriter


@dataclass(frozen=True, slots=True)
class Question:
    """A request with the query that it belongs to."""

    query: Query
    request: Request

    @property
    def key(self) -> Key:
        """The key of the answer."""
        return self.request.key

    def row(self, completion: Completion) -> AnswerRow:
        """Return the answer to the question as a row to be stored.

        Raises:
            BackendError: the completion holds a value of another type than it should.
        """
        try:
            return AnswerRow(
                number=self.query.number,
                id=self.query.id,
                query=self.query.text,
                prompt=prompt_hash(self.request.prompt),
                response=completion.text,
                finish=completion.finish,
                prompt_tokens=completion.prompt_tokens,
                tokens=completion.tokens,
                sample=self.request.key.sample,
                reason=completion.reason,
            )
        except TypeError as error:
            raise BackendError(
                f"the backend's answer to query {self.query.id!r} can't be stored: {error}; nothing was written for it"
            ) from None


NAMED = 3
"""Queries without an answer that are named while the run continues."""

Reuse = Callable[[Question], AnswerRow | None]


def no_reuse(question: Question) -> AnswerRow | None:
    """Return None, as no answer can be reused."""
    return None


@dataclass(frozen=True, slots=True)
class Answers:
    """Questions to be answered, and where the answers are stored.

    Args:
        questions: returns the questions, sorted by the position of their answers, on every call.
        sampling: how answers are sampled.
        rows: the open file of answers.
        meter: charges the requests and answers to the budget, and enforces its limit.
        progress: receives every answer.
        reuse: returns a stored answer that makes the request unnecessary, or None.
        unanswerable: the ids of the queries that got no answer.
    """

    questions: Callable[[], Iterable[Question]]
    sampling: Sampling
    rows: AnswerWriter
    meter: Meter
    progress: Progress
    reuse: Reuse = no_reuse
    unanswerable: list[str] = field(default_factory=list)

    def collect(self, sampler: Sampler) -> None:
        """Guarantee that every question has a stored answer.

        Raises:
            ContextError: a question does not fit the model's context.
            RunError: the next request could exceed the spending limit; all before it are stored.
        """
        if sampler.chunk is None:
            _Stream(self).collect(sampler)
        else:
            self._collect_chunks(sampler, sampler.chunk)

    def _collect_chunks(self, sampler: Sampler, size: int) -> None:
        """Append the rows of a whole chunk in one write; rows of an incomplete chunk are dropped."""
        kept = 0
        for _, group in groupby(self.questions(), key=lambda question: question.query.number // size):
            chunk = list(group)
            if kept + len(chunk) <= self.rows.count:
                kept += len(chunk)
                continue
            answers = self._chunk(sampler, chunk)
            self.rows.keep(kept)
            self.store(answers)
            kept += len(chunk)

    def _chunk(self, sampler: Sampler, chunk: list[Question]) -> list[AnswerRow]:
        answers = {question.key: self.reuse(question) for question in chunk}
        missing = {question.key: question for question in chunk if answers[question.key] is None}
        requests = [question.request for question in missing.values()]
        if not self.meter.admit(requests, self.sampling):
            raise self.meter.limit_error(requests, self.sampling)
        with naming_the_query(missing):
            for key, completion in sampler.generate(requests, self.sampling):
                self.meter.charge(key, completion)
                answers[key] = missing[key].row(completion)
        return [answer for answer in answers.values() if answer is not None]

    def unanswered(self) -> Iterator[Question]:
        """Yield the questions that have no stored answer yet; stores the answers that can be reused."""
        for question in self.questions():
            if question.key in self.rows:
                continue
            answer = self.reuse(question)
            if answer is None:
                yield question
            else:
                self.store([answer])

    def store(self, answers: list[AnswerRow]) -> None:
        """Append the answers in one write."""
        self.rows.add(answers)
        self.progress.advance(len(answers), self.meter.budget.note())
        for answer in answers:
            if answer.reason is not None and not answer.reused:
                self._tell(answer)

    def _tell(self, answer: AnswerRow) -> None:
        """Name a query that got no answer; from the fourth on, only where they are listed."""
        self.unanswerable.append(answer.id)
        if len(self.unanswerable) <= NAMED:
            self.progress.say(f"no answer to query {answer.id!r} ({answer.reason}); it is rejected, the run continues")
        else:
            self.progress.say(f"more queries have no answer; each row of {self.rows.name} says why")


class _Stream:
    """Collects from a sampler whose answers don't depend on the batch: rows are appended one by one as they arrive."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._unanswered = answers.unanswered()
        self._in_flight: dict[Key, Question] = {}
        self._not_admitted: Question | None = None

    def collect(self, sampler: Sampler) -> None:
        """Guarantee that all answers are stored.

        At the limit no more requests are sent; once those in flight turn out cheaper than their maximum, there may be room
        for more.
        """
        answers, meter = self._answers, self._answers.meter
        while True:
            before = answers.rows.count
            with naming_the_query(self._in_flight):
                for key, completion in sampler.generate(self._requests(), answers.sampling):
                    meter.charge(key, completion)
                    answers.store([self._in_flight.pop(key).row(completion)])
            if self._not_admitted is None:
                return
            if answers.rows.count == before:
                raise meter.limit_error([self._not_admitted.request], answers.sampling)

    def _requests(self) -> Iterator[Request]:
        while (question := self._not_admitted or next(self._unanswered, None)) is not None:
            self._not_admitted = question
            if not self._answers.meter.admit([question.request], self._answers.sampling):
                return
            self._not_admitted = None
            self._in_flight[question.key] = question
            yield question.request


@contextmanager
def naming_the_query(questions: Mapping[Key, Question]) -> Iterator[None]:
    """Guarantee that an error about one query that is raised in the block names it."""
    try:
        yield
    except (ContextError, RefusedError) as error:
        ids = (question.query.id for key, question in questions.items() if key.number == error.number)
        error.name = next(ids, error.name)
        raise
