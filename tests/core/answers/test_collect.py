"""How answers get into a file: one by one as they arrive, or in whole chunks."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pdistill.core.answers.collect import Answers, Question, Reuse, no_reuse
from pdistill.core.contract.prices import FREE
from pdistill.core.contract.prompts import Text, prompt_hash
from pdistill.core.contract.queries import Query
from pdistill.core.contract.sampling import Completion, Key, Request, Sampling
from pdistill.core.errors import BackendError, ContextError
from pdistill.core.money.budget import Budget, Meter
from pdistill.core.progress import Silent
from pdistill.core.store.answerrow import AnswerRow
from pdistill.core.store.rowfile import AnswerFile

SAMPLING = Sampling(max_tokens=8)


def questions(count: int, samples: int = 1) -> list[Question]:
    return [
        Question(
            Query(f"text {number}", f"id-{number}", number=number),
            Request(Key(number, sample), Text(f"prompt {number}"), seed=number),
        )
        for number in range(count)
        for sample in range(samples)
    ]


class Watched:
    """A sampler that answers a window's last request first, and notes each call; it fails after `good` answers.

    Args:
        unfit: the number of a query that does not fit the context.
    """

    def __init__(
        self, chunk: int | None = None, window: int = 3, good: int | None = None, unfit: int | None = None
    ) -> None:
        self.chunk = chunk
        self.calls: list[list[Key]] = []
        self._window = window
        self._good = good
        self._unfit = unfit

    def generate(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Key, Completion]]:
        assert sampling == SAMPLING
        call: list[Key] = []
        self.calls.append(call)
        waiting: list[Request] = []
        for request in requests:
            call.append(request.key)
            if request.key.number == self._unfit:
                raise ContextError(request.key.number, 10, 5, 8, 16)
            waiting.append(request)
            if len(waiting) == self._window:
                yield self._answer(waiting.pop())
        while waiting:
            yield self._answer(waiting.pop())

    def _answer(self, request: Request) -> tuple[Key, Completion]:
        if self._good is not None:
            self._good -= 1
            if self._good < 0:
                raise BackendError("no more")
        return request.key, Completion(f"answer {request.key.number}.{request.key.sample}", "stop", 7, 2)

    @property
    def asked(self) -> list[Key]:
        """The keys of all requests, in order."""
        return [key for call in self.calls for key in call]


class Counted(Silent):
    """Counts the answers that it is told of."""

    def __init__(self) -> None:
        self.count = 0

    def advance(self, count: int = 1, note: str = "") -> None:
        self.count += count


Collect = Callable[..., list[AnswerRow]]


@pytest.fixture
def collect(tmp_path: Path) -> Collect:
    """Return a function that collects answers into one file, and returns what the file then holds."""

    def run(sampler: Watched, asked: list[Question], reuse: Reuse = no_reuse, samples: int = 1) -> list[AnswerRow]:
        file = AnswerFile(tmp_path / "rows.jsonl", samples)
        progress = Counted()
        with file.open(100 * samples) as writer:
            before = writer.count
            meter = Meter(Budget({"teacher": FREE}, {}, None), "teacher", None)
            try:
                Answers(lambda: asked, SAMPLING, writer, meter, progress, reuse).collect(sampler)
                assert progress.count >= writer.count - before
            except BackendError as error:
                if isinstance(error, ContextError):
                    raise
        return list(file.answers())

    return run


def keys(rows: list[AnswerRow]) -> list[Key]:
    return [row.key for row in rows]


def test_a_row_holds_the_question_and_the_answer(collect: Collect) -> None:
    (row,) = collect(Watched(), questions(1))
    assert row == AnswerRow(0, "id-0", "text 0", prompt_hash(Text("prompt 0")), "answer 0.0", "stop", 7, 2)


def test_a_stream_stores_answers_in_order_of_arrival(collect: Collect) -> None:
    sampler = Watched(window=3)
    rows = collect(sampler, questions(5))
    assert keys(rows) == [Key(2), Key(3), Key(4), Key(1), Key(0)]
    assert sampler.asked == [Key(number) for number in range(5)]
    assert {row.response for row in rows} == {f"answer {number}.0" for number in range(5)}


def test_a_stream_that_was_interrupted_asks_only_for_what_is_missing(collect: Collect) -> None:
    first = collect(Watched(window=3, good=4), questions(9))
    assert keys(first) == [Key(2), Key(3), Key(4), Key(5)]
    sampler = Watched()
    rows = collect(sampler, questions(9))
    assert rows[:4] == first
    assert sampler.asked == [Key(number) for number in (0, 1, 6, 7, 8)]
    assert sorted(keys(rows)) == [Key(number) for number in range(9)]


def test_chunks_are_asked_and_stored_whole_and_in_order_of_their_queries(collect: Collect) -> None:
    sampler = Watched(chunk=2)
    rows = collect(sampler, questions(5, samples=2), samples=2)
    assert sampler.calls == [
        [Key(0, 0), Key(0, 1), Key(1, 0), Key(1, 1)],
        [Key(2, 0), Key(2, 1), Key(3, 0), Key(3, 1)],
        [Key(4, 0), Key(4, 1)],
    ]
    assert keys(rows) == sampler.asked


def test_a_chunk_that_was_interrupted_is_asked_again_as_a_whole(collect: Collect) -> None:
    first = collect(Watched(chunk=4, good=6), questions(10))
    assert keys(first) == [Key(number) for number in range(4)]
    sampler = Watched(chunk=4)
    rows = collect(sampler, questions(10))
    assert sampler.calls == [[Key(number) for number in range(4, 8)], [Key(8), Key(9)]]
    assert rows[:4] == first
    assert keys(rows) == [Key(number) for number in range(10)]


def test_rows_of_a_half_chunk_are_dropped(collect: Collect) -> None:
    before = collect(Watched(window=1), questions(6))
    assert keys(before) == [Key(number) for number in range(6)]
    sampler = Watched(chunk=4)
    rows = collect(sampler, questions(8))
    assert sampler.calls == [[Key(number) for number in range(4, 8)]]
    assert rows[:4] == before[:4]
    assert keys(rows) == [Key(number) for number in range(8)]


def test_chunks_follow_the_numbers_of_the_queries_and_not_their_places(collect: Collect) -> None:
    sampler = Watched(chunk=4)
    collect(sampler, [each for each in questions(12) if each.key.number not in (1, 2, 5)])
    assert [[key.number for key in call] for call in sampler.calls] == [[0, 3], [4, 6, 7], [8, 9, 10, 11]]


@pytest.mark.parametrize("chunk", [None, 3])
def test_what_can_be_reused_is_stored_and_not_asked(collect: Collect, chunk: int | None) -> None:
    def reuse(question: Question) -> AnswerRow | None:
        if question.key.number % 2:
            return None
        return replace(question.row(Completion("known", "stop", 7, 2)), reused=True)

    sampler = Watched(chunk)
    rows = collect(sampler, questions(7), reuse)
    assert sorted(sampler.asked) == [Key(1), Key(3), Key(5)]
    assert sorted(keys(rows)) == [Key(number) for number in range(7)]
    for row in rows:
        known = row.number % 2 == 0
        assert (row.reused, row.response) == (known, "known" if known else f"answer {row.number}.0")


@pytest.mark.parametrize("chunk", [None, 3])
def test_a_query_that_does_not_fit_is_named_by_its_id(collect: Collect, chunk: int | None) -> None:
    with pytest.raises(ContextError, match="query 'id-4' does not fit"):
        collect(Watched(chunk, unfit=4), questions(7))


def test_all_that_is_stored_already_opens_no_call_with_requests(collect: Collect) -> None:
    collect(Watched(), questions(4))
    for chunk in (None, 2):
        sampler = Watched(chunk)
        collect(sampler, questions(4))
        assert sampler.asked == []
