"""The one way out to a service: what may pass by itself is tried again, with ever longer pauses, and not for ever."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
from tenacity import RetryCallState, wait_random, wait_random_exponential

from pdistill.backends.remote.notices import Notices
from pdistill.backends.remote.retry import retry

FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.25, 30.0
MAX_RETRY_AFTER_SECONDS = 60.0
"""Seconds: the first pause at most, any pause at most, and the longest Retry-After that is obeyed."""

NUMBER = re.compile(r"\d+(\.\d+)?")
TIMES = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

Send = Callable[[], Awaitable[httpx.Response]]


class NoAnswerError(httpx.ReadTimeout):
    """Nothing came back from the service, on any request, for as long as patience lasts."""


class RetryingSender:
    """Sends the requests of one session; what is tried again is said, and `failure` says when it was given up.

    A request that gets no answer is sent again for as long as others are answered: to ask for a result is to wait for it.

    Args:
        patience: seconds of pauses after which a request that fails again and again is given up, or of silence.
        timeout: seconds in which an answer must be there; then the request is sent again.
        notices: says what goes wrong.
    """

    def __init__(self, patience: float, timeout: float, notices: Notices) -> None:
        self._patience = patience
        self._timeout = timeout
        self._notices = notices
        self._heard = time.monotonic()
        self.failure: str | None = None
        self.retries = 0

    async def send(self, attempt: Send) -> httpx.Response:
        """Return the answer to a request, read to its end.

        Args:
            attempt: sends the request, once.

        Raises:
            httpx.TransportError: there was no answer for as long as patience lasts.
        """
        began = time.monotonic()
        return await retry(
            lambda: self._send_until_answered(attempt),
            lambda found: (
                isinstance(found, httpx.TransportError) or (isinstance(found, httpx.Response) and is_transient(found))
            ),
            wait=wait_retry_after(wait_random_exponential(FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS)),
            stop=lambda state: state.idle_for >= self._patience or isinstance(_error(state), NoAnswerError),
            before_sleep=self._note,
            retry_error_callback=lambda state: self._give_up(state, time.monotonic() - began),
        )

    async def send_once(self, attempt: Send) -> httpx.Response:
        """Return the answer to a request that is not tried again: that it came is a sign of life."""
        response = await attempt()
        self._heard = time.monotonic()
        return response

    async def _send_until_answered(self, attempt: Send) -> httpx.Response:
        began = time.monotonic()
        while True:
            try:
                async with asyncio.timeout(self._timeout):
                    response = await attempt()
                    await response.aread()
                self._heard = time.monotonic()
                return response
            except (TimeoutError, httpx.TimeoutException):
                silent = time.monotonic() - max(self._heard, began)
                if silent > self._patience:
                    raise NoAnswerError(f"no answer for {silent:.0f} s") from None
                self.retries += 1
                if silent >= self._timeout:
                    self._notices.warn("silence", f"the service has not answered for {silent:.0f} s; asking again")

    def _note(self, state: RetryCallState) -> None:
        self.retries += 1
        pause = state.next_action.sleep if state.next_action else 0.0
        self._notices.warn(f"retry {_kind(state)}", f"the service {_problem(state)}; trying again in {pause:.1f} s")

    def _give_up(self, state: RetryCallState, seconds: float) -> httpx.Response:
        self.failure = f"the service {_problem(state)}, and did so for {seconds:.0f} s"
        assert state.outcome is not None
        response: httpx.Response = state.outcome.result()
        return response


def is_transient(response: httpx.Response) -> bool:
    """Return whether the same request may get another answer a little later."""
    if response.headers.get("x-should-retry") == "false":
        return False
    status: int = response.status_code
    return status == 429 or status >= 500


def wait_retry_after(otherwise: Callable[[RetryCallState], float]) -> Callable[[RetryCallState], float]:
    """Return a way of waiting: as long as the answer's Retry-After says and up to a second more, or else the given one."""
    spread = wait_random(0, 1)

    def wait(state: RetryCallState) -> float:
        told = retry_after(_response(state))
        return otherwise(state) if told is None else told + float(spread(state))

    return wait


def retry_after(response: httpx.Response | None) -> float | None:
    """Return the seconds that an answer asks to wait, at most a minute; None where it doesn't say.

    It says so by Retry-After, in milliseconds by retry-after-ms, or by when a limit of which nothing remains is reset.
    """
    if response is None:
        return None
    headers = response.headers
    told = (_number(headers.get("retry-after-ms", ""), 1000), _retry_after_seconds(headers.get("retry-after", "")), _limit_reset(headers))
    seconds = next((value for value in told if value is not None), None)
    return None if seconds is None else min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


def _number(text: str, unit: float = 1.0) -> float | None:
    return float(text) / unit if NUMBER.fullmatch(text) else None


def _retry_after_seconds(text: str) -> float | None:
    """Return the seconds that Retry-After means: a number of them, or a date."""
    try:
        seconds = _number(text)
        return parsedate_to_datetime(text).timestamp() - time.time() if seconds is None else seconds
    except (ValueError, TypeError):
        return None


def _limit_reset(headers: httpx.Headers) -> float | None:
    """Return the seconds until the last of the used-up limits is reset, as OpenAI's headers say it: 20ms, 1s, 6m0s."""
    resets = [
        sum(
            float(number) * SECONDS[unit]
            for number, unit in TIMES.findall(headers.get(f"x-ratelimit-reset-{what}", ""))
        )
        for what in ("requests", "tokens")
        if headers.get(f"x-ratelimit-remaining-{what}") == "0"
    ]
    return max(resets, default=0.0) or None


def _response(state: RetryCallState) -> httpx.Response | None:
    outcome: Any = state.outcome
    return None if outcome is None or outcome.failed else outcome.result()


def _kind(state: RetryCallState) -> str:
    response = _response(state)
    return str(response.status_code) if response is not None else type(_error(state)).__name__


def _problem(state: RetryCallState) -> str:
    response = _response(state)
    if response is not None:
        return f"answers {response.status_code} {response.reason_phrase}".rstrip()
    error = _error(state)
    return "does not answer" if isinstance(error, NoAnswerError) else f"can't be reached ({_last_clause(error)})"


def _error(state: RetryCallState) -> BaseException | None:
    outcome: Any = state.outcome
    error: BaseException | None = outcome.exception() if outcome is not None else None
    return error


def _last_clause(error: BaseException | None) -> str:
    """Return the last clause of what an error says: clients put the address and their own names before it."""
    return next(iter(str(error).strip().splitlines()), "").rpartition(": ")[2] or type(error).__name__
