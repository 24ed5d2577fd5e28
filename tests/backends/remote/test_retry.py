"""Only some outcomes are retried, and the first attempt counts."""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from tenacity import stop_after_attempt

from pdistill.backends.remote.retry import retry


class Work:
    """Returns or raises the given outcomes, one per call."""

    def __init__(self, outcomes: Iterable[Any]) -> None:
        self._outcomes = list(outcomes)
        self.calls = 0

    async def __call__(self) -> Any:
        outcome = self._outcomes[self.calls]
        self.calls += 1
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def worth(found: Any) -> bool:
    return found == "poor" or isinstance(found, ValueError)


def given(work: Work) -> Any:
    return asyncio.run(retry(work, worth, stop=stop_after_attempt(3), reraise=True))


@pytest.mark.parametrize("failures", [[], ["poor"], [ValueError("a"), "poor"], [ValueError("a"), ValueError("b")]])
def test_work_is_retried_until_it_succeeds(failures: list[Any]) -> None:
    work = Work([*failures, "good", "not asked for"])
    assert given(work) == "good"
    assert work.calls == len(failures) + 1


def test_other_errors_are_raised_at_once() -> None:
    work = Work([KeyError("x"), "good"])
    with pytest.raises(KeyError):
        given(work)
    assert work.calls == 1


def test_last_error_is_raised_after_the_allowed_number_of_calls() -> None:
    work = Work([ValueError("a"), ValueError("b"), ValueError("c"), "good"])
    with pytest.raises(ValueError, match="c"):
        given(work)
    assert work.calls == 3
