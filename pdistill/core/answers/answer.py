"""Asks a sampler many requests and stores every answer at once: the one way by which answers reach a file of rows."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Any

from pdistill.core.contract.interfaces import Sampler
from pdistill.core.contract.prompts import prompt_hash
from pdistill.core.contract.queries import Query
from pdistill.core.contract.sampling import Completion, Request, Sampling
from pdistill.core.errors import ContextError
from pdistill.core.money.budget import Meter
from pdistill.core.progress import Progress
from pdistill.core.store.rowfile import RowWriter
from pdistill.core.store.rows import Row


@dataclass(frozen=True, slots=True)
class Question:
    """One request with the query that it comes from."""

    query: Query
    request: Request

    def row(self, completion: Completion) -> dict[str, Any]:
        """Return the answer as a row; the sample is named where it is not the first."""
        row: dict[str, Any] = {
            "number": self.query.number,
            "id": self.query.id,
            "query": self.query.text,
            "prompt": prompt_hash(self.request.prompt),
            "response": completion.text,
            "finish": completion.finish,
            "prompt_tokens": completion.prompt_tokens,
            "tokens": completion.tokens,
        }
        if self.request.key.sample:
            row["sample"] = self.request.key.sample
        return row


Reuse = Callable[[Question], Row | None]


@dataclass(frozen=True, slots=True)
class Answers:
    """Questions to be asked, and where the answers go.

    Args:
        questions: makes the questions anew, in the order of their places.
        sampling: how answers are drawn.
        rows: the open file of answers.
        place: the place of a question's row in the complete file.
        reuse: finds an answer that need not be asked for.
        meter: counts what is asked and answered, and says where to stop.
        progress: is told of every answer.
    """

    questions: Callable[[], Iterable[Question]]
    sampling: Sampling
    rows: RowWriter
    place: Callable[[Question], int]
    reuse: Reuse
    meter: Meter
    progress: Progress

    def collect(self, sampler: Sampler) -> None:
        """Guarantee that every question has its row.

        Raises:
            ContextError: a question does not fit the model's context.
            RunError: the next request could pass the limit of what the run may cost; all before it are stored.
        """
        if sampler.chunk is None:
            self._stream(sampler)
        else:
            self._in_chunks(sampler, sampler.chunk)

    def _stream(self, sampler: Sampler) -> None:
        """Append rows one by one as answers arrive.

        At the limit no more requests are handed out; once those in flight have turned out cheaper than they could have
        been, there may be room for more.
        """
        waiting: dict[Any, Question] = {}
        unanswered = self._unanswered()
        held: list[Question] = []

        def requests() -> Iterator[Request]:
            for question in chain([*held], unanswered):
                held[:] = [question]
                if not self.meter.admit([question.request], self.sampling):
                    return
                held.clear()
                waiting[question.request.key] = question
                yield question.request

        while True:
            answered = self.rows.count
            with _naming(waiting):
                for key, completion in sampler.generate(requests(), self.sampling):
                    self.meter.answered(key, completion)
                    self._append([waiting.pop(key).row(completion)])
            if not held:
                return
            if self.rows.count == answered:
                raise self.meter.refused([held[0].request], self.sampling)

    def _unanswered(self) -> Iterator[Question]:
        """Yield the questions that have no row yet; appends the rows that can be reused."""
        for question in self.questions():
            if self.place(question) in self.rows:
                continue
            row = self.reuse(question)
            if row is None:
                yield question
            else:
                self._append([row])

    def _in_chunks(self, sampler: Sampler, size: int) -> None:
        """Append the rows of a whole chunk in one write; rows of a chunk that is not whole are dropped."""
        kept = 0
        for _, group in groupby(self.questions(), key=lambda question: question.query.number // size):
            chunk = list(group)
            if kept + len(chunk) <= self.rows.count:
                kept += len(chunk)
                continue
            answers = self._chunk(sampler, chunk)
            self.rows.keep(kept)
            self._append(answers)
            kept += len(chunk)

    def _chunk(self, sampler: Sampler, chunk: list[Question]) -> list[Row]:
        found = {question.request.key: self.reuse(question) for question in chunk}
        asked = {question.request.key: question for question in chunk if found[question.request.key] is None}
        requests = [question.request for question in asked.values()]
        if not self.meter.admit(requests, self.sampling):
            raise self.meter.refused(requests, self.sampling)
        with _naming(asked):
            for key, completion in sampler.generate(requests, self.sampling):
                self.meter.answered(key, completion)
                found[key] = asked[key].row(completion)
        return [row for row in found.values() if row is not None]

    def _append(self, rows: list[Row]) -> None:
        self.rows.append(rows)
        self.progress.advance(len(rows), self.meter.budget.note())


class _naming:  # noqa: N801 - used as a function
    """Gives a ContextError the id of the query that it speaks of."""

    def __init__(self, waiting: dict[Any, Question]) -> None:
        self._waiting = waiting

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ContextError):
            for key, question in self._waiting.items():
                if key.number == error.number:
                    error.name = question.query.id
