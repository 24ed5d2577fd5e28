from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pdistill.core.answers.collect import Answers, Question
from pdistill.core.contract.interfaces import Side
from pdistill.core.contract.prices import FREE, Prices, Tokens
from pdistill.core.contract.prompts import Text
from pdistill.core.contract.queries import Query
from pdistill.core.contract.sampling import Completion, Key, Request, Sampling
from pdistill.core.errors import RunError, UsageError
from pdistill.core.money.budget import Budget, Meter, check_limit
from pdistill.core.progress import Silent
from pdistill.core.store.rowfile import AnswerFile

PRICES = Prices(3.0, 15.0, 6.0, "list")
LONGEST = 20
SIDES: dict[Side, Prices | None] = {"teacher": PRICES, "student": FREE}


class Letters:
    """Renders each letter as a token."""

    has_chat_template = False

    def prompt_ids(self, prompt: object) -> list[int]:
        assert isinstance(prompt, Text)
        return list(range(len(prompt.text)))

    target_ids = pieces = identity = None


class Windowed:
    """Takes a window of requests before it answers the first of them; each answer is as long as its query says."""

    def __init__(self, lengths: list[int], window: int, chunk: int | None) -> None:
        self.chunk = chunk
        self.handed = 0
        self._lengths = lengths
        self._window = window

    def generate(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Key, Completion]]:
        waiting: list[Request] = []
        for request in requests:
            self.handed += 1
            waiting.append(request)
            if len(waiting) == self._window:
                yield self._answer(waiting.pop())
        while waiting:
            yield self._answer(waiting.pop())

    def _answer(self, request: Request) -> tuple[Key, Completion]:
        assert isinstance(request.prompt, Text)
        return request.key, Completion("", "stop", len(request.prompt.text), self._lengths[request.key.number])


def cost(queries: list[tuple[int, int]]) -> float:
    return PRICES.cost(Tokens(sum(prompt for prompt, _ in queries), sum(answer for _, answer in queries)))


@settings(deadline=None)
@given(
    queries=st.lists(st.tuples(st.integers(1, 300), st.integers(0, LONGEST)), min_size=1, max_size=30),
    window=st.integers(1, 12),
    chunk=st.none() | st.integers(1, 8),
    share=st.floats(0, 1.5),
)
def test_the_limit_is_never_passed_and_is_used_as_far_as_it_goes(
    queries: list[tuple[int, int]], window: int, chunk: int | None, share: float
) -> None:
    limit = cost(queries) * share
    sampler = Windowed([answer for _, answer in queries], window, chunk)
    budget = Budget(SIDES, {}, limit)
    asked = [Question(Query("x", number=n), Request(Key(n), Text("x" * size))) for n, (size, _) in enumerate(queries)]
    with TemporaryDirectory() as folder:
        file = AnswerFile(Path(folder) / "rows.jsonl")
        with file.open(len(queries)) as rows:
            meter = Meter(budget, "teacher", Letters())  # type: ignore[arg-type]
            answers = Answers(
                lambda: asked,
                Sampling(max_tokens=LONGEST),
                rows,
                meter,
                Silent(),
            )
            stopped = False
            try:
                answers.collect(sampler)
            except RunError:
                stopped = True
        numbers = [row["number"] for row in file.rows()]
    assert sorted(numbers) == list(range(len(numbers)))
    assert sampler.handed == len(numbers)
    assert stopped == (len(numbers) < len(queries))
    spent = cost(queries[: len(numbers)])
    assert budget.spent == pytest.approx(spent)
    assert spent <= limit
    if stopped:
        waiting = queries[len(numbers) : len(numbers) + (chunk or 1)]
        assert spent + cost([(prompt, LONGEST) for prompt, _ in waiting]) > limit


def test_requests_in_flight_count_at_maximum_cost_until_charged() -> None:
    budget = Budget(SIDES, {"teacher": Tokens(prompt=1_000_000)}, limit=10.0)
    worst = Tokens(sampled=300_000)
    assert budget.reserve("teacher", worst)
    assert not budget.reserve("teacher", worst)
    assert budget.spent == 3
    budget.charge("teacher", worst, Tokens(sampled=100_000))
    assert budget.spent == 4.5
    assert budget.reserve("teacher", worst)
    assert budget.reserve("student", Tokens(sampled=10**9))


def test_error_says_what_was_spent_and_how_to_resume() -> None:
    budget = Budget(SIDES, {"teacher": Tokens(prompt=1_000_000)}, limit=3.5)
    assert str(budget.limit_error("teacher", Tokens(sampled=100_000), "the next request")) == (
        "stopped by --max-cost 3.5: $3.00 is spent, and the next request could cost $1.50; everything done so far is saved; "
        "continue with the same command and a higher --max-cost, or none"
    )
    assert budget.note() == "$3.00 so far"


def test_without_prices_nothing_is_noted() -> None:
    assert Budget({"teacher": FREE, "student": FREE}, {"teacher": Tokens(1)}, None).note() == ""
    unknown = Budget({"teacher": None, "student": None}, {"teacher": Tokens(1)}, None)
    assert (unknown.spent, unknown.note()) == (None, "")


def test_a_limit_without_a_price_names_the_options_that_give_one() -> None:
    names: dict[Side, str] = {"teacher": "local:big", "student": "fake:small"}
    check_limit({"teacher": None, "student": None}, names, None)
    check_limit({"teacher": FREE, "student": PRICES}, names, 1.0)
    with pytest.raises(UsageError, match=r"the price of fake:small is unknown; give -B student.price_prompt=USD"):
        check_limit({"teacher": FREE, "student": None}, names, 1.0)
