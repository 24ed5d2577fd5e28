"""Transient failures are retried, logged rarely, and given up in the end."""

import asyncio
import logging
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from tenacity import RetryCallState, Retrying

from pdistill.backends.remote.notices import Notices
from pdistill.backends.remote.sender import (
    GIVEN_UP,
    NoAnswerError,
    RetryingSender,
    is_transient,
    retry_after,
    wait_retry_after,
)

HANG = "hang"


class Line:
    """Returns the given answers, one per request; the last one is repeated."""

    def __init__(self, answers: Iterable[Any]) -> None:
        self._answers = list(answers)
        self.sent = 0

    async def __call__(self) -> httpx.Response:
        answer = self._answers[min(self.sent, len(self._answers) - 1)]
        self.sent += 1
        if answer == HANG:
            await asyncio.sleep(3600)
        if isinstance(answer, Exception):
            raise answer
        status, headers = answer if isinstance(answer, tuple) else (answer, {})
        return httpx.Response(status, headers=headers, content=b"{}")


PAUSES = (0.001, 0.01)


def send(line: Line, *, patience: float = 60.0, timeout: float = 60.0) -> tuple[RetryingSender, httpx.Response]:
    sender = RetryingSender(patience, timeout, Notices(), PAUSES)
    return sender, asyncio.run(sender.send(line))


@pytest.mark.parametrize(
    "fault",
    [429, 500, 502, 503, httpx.ConnectError("refused"), httpx.ReadError("cut"), httpx.RemoteProtocolError("cut")],
)
def test_transient_fault_is_retried(fault: Any) -> None:
    line = Line([fault, fault, 200])
    sender, response = send(line)
    assert response.status_code == 200
    assert (line.sent, sender.retries, sender.failure) == (3, 2, None)


def test_unanswered_request_is_sent_again() -> None:
    line = Line([HANG, 200])
    _, response = send(line, timeout=0.05)
    assert (response.status_code, line.sent) == (200, 2)


def test_silent_service_is_given_up() -> None:
    line = Line([HANG])
    sender = RetryingSender(patience=0.1, timeout=0.02, notices=Notices(), pauses=PAUSES)
    with pytest.raises(NoAnswerError):
        asyncio.run(sender.send(line))
    assert line.sent > 1
    assert (sender.failure or "").startswith("the service does not answer, even after retrying for")


def test_slow_result_is_waited_for_while_the_service_responds() -> None:
    sender = RetryingSender(patience=0.1, timeout=0.02, notices=Notices(), pauses=PAUSES)
    slow, quick = Line([*[HANG] * 20, 200]), Line([200])

    async def both() -> httpx.Response:
        waiting = asyncio.create_task(sender.send(slow))
        while not waiting.done():
            await sender.send_once(quick)
            await asyncio.sleep(0.01)
        return waiting.result()

    assert asyncio.run(both()).status_code == 200
    assert (slow.sent, sender.failure) == (21, None)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 410, 422])
def test_permanent_failure_is_not_retried(status: int) -> None:
    line = Line([status])
    sender, response = send(line)
    assert (response.status_code, line.sent, sender.failure) == (status, 1, None)


def test_x_should_retry_false_is_respected() -> None:
    assert is_transient(httpx.Response(503))
    assert not is_transient(httpx.Response(503, headers={"x-should-retry": "false"}))


def test_lasting_failure_is_given_up_with_its_reason() -> None:
    line = Line([503])
    sender, response = send(line, patience=0.05)
    assert response.status_code == 503
    assert sender.failure is not None
    assert sender.failure.startswith("the service answers 503 Service Unavailable, even after retrying for")
    with pytest.raises(httpx.ConnectError):
        send(Line([httpx.ConnectError("refused")]), patience=0.05)


def test_retry_after_in_seconds_or_as_a_date_is_respected_up_to_a_minute() -> None:
    def told(text: str) -> float | None:
        return retry_after(httpx.Response(429, headers={"retry-after": text}))

    assert (told("7"), told("0.5"), told("3600")) == (7.0, 0.5, 60.0)
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 25 < (told(soon) or 0) <= 30
    assert told(format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True)) == 0.0
    assert (told("soon"), told(""), retry_after(None)) == (None, None, None)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 60.0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1m2.5s"}, 60.0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "20ms"}, 0.02),
        ({"x-ratelimit-remaining-tokens": "9", "x-ratelimit-reset-tokens": "1s"}, None),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "soon"}, None),
        ({"retry-after": "2", "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "9s"}, 2.0),
    ],
)
def test_other_headers_with_a_waiting_time(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(httpx.Response(429, headers=headers)) == seconds


def test_pause_is_retry_after_plus_jitter() -> None:
    def pause(response: httpx.Response) -> float:
        state = RetryCallState(Retrying(), None, (), {})
        state.set_result(response)
        return wait_retry_after(lambda _: 0.5)(state)

    assert 7 <= pause(httpx.Response(429, headers={"retry-after": "7"})) <= 8
    assert pause(httpx.Response(429)) == 0.5


def test_retries_are_logged_once_and_then_counted(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="pdistill"):
        send(Line([500] * 30 + [200]))
    assert [record.getMessage().partition(";")[0] for record in caplog.records] == [
        "the service answers 500 Internal Server Error"
    ]


def test_waiting_request_is_not_given_up_while_others_are_answered() -> None:
    slow, quick = Line([HANG, HANG, HANG, HANG, 200]), Line([200])

    async def both() -> tuple[RetryingSender, httpx.Response]:
        sender = RetryingSender(0.1, 0.05, Notices(), PAUSES)
        waiting = asyncio.ensure_future(sender.send(slow))
        while not waiting.done():
            await sender.send(quick)
            await asyncio.sleep(0.01)
        return sender, waiting.result()

    sender, response = asyncio.run(both())
    assert (response.status_code, slow.sent, sender.failure) == (200, 5, None)
    with pytest.raises(httpx.ReadTimeout):
        send(Line([HANG]), patience=0.1, timeout=0.05)


def test_header_says_whether_to_retry() -> None:
    line = Line([(400, {"x-should-retry": "true"}), 200])
    assert send(line)[1].status_code == 200
    assert not is_transient(httpx.Response(503, headers={"x-should-retry": "false"}))
    assert not is_transient(httpx.Response(200, headers={"x-should-retry": "true"}))
    assert not is_transient(httpx.Response(409))
    assert is_transient(httpx.Response(409), (409, 429))


def test_failure_is_left_to_the_caller_where_it_may_belong_to_one_request() -> None:
    sender = RetryingSender(0.01, 60.0, Notices(), PAUSES, isolating=True)
    response = asyncio.run(sender.send(Line([500])))
    assert sender.failure is None
    assert str(response.extensions[GIVEN_UP]).startswith("the service answers 500 Internal Server Error, even after")
