"""Sends all requests to a service: transient failures are retried with increasing pauses, up to a limit."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Container
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
from tenacity import RetryCallState, wait_random, wait_random_exponential

from pdistill.backends.remote.notices import Notices
from pdistill.backends.remote.retry import retry

FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.25, 30.0
MAX_RETRY_AFTER_SECONDS = 60.0
"""Upper limits of the first pause, of every pause, and of a Retry-After that is respected."""

TOO_MANY_REQUESTS = 429
GIVEN_UP = "pdistill.given_up"
"""Key of the extension of a response that says why its request is not retried any more."""

NUMBER = re.compile(r"\d+(\.\d+)?")
TIMES = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s)")
SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}

Send = Callable[[], Awaitable[httpx.Response]]


class NoAnswerError(httpx.ReadTimeout):
    """The service answered none of the requests for `patience` seconds."""


class RetryingSender:
    """Sends the requests of one session with retries, which are logged; `failure` is set once the service is given up.

    A request that gets no answer is sent again as long as other requests are answered: services hold a request for a
    result open until the result exists.

    Args:
        patience: total seconds of pauses after which a repeatedly failing request is given up, and seconds without any
            answer from the service.
        timeout: seconds after which a request without an answer is sent again.
        notices: logs the retries.
        pauses: the upper limits, in seconds, of the first pause before a retry and of every later one.
        retried: the statuses below 500 that are retried.
        isolating: whether a status that remains may belong to its request alone: then `failure` is left to the caller, who
            finds it in the response's extensions as `GIVEN_UP`.
    """

    def __init__(
        self,
        patience: float,
        timeout: float,
        notices: Notices,
        pauses: tuple[float, float] = (FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS),
        retried: Container[int] = (TOO_MANY_REQUESTS,),
        *,
        isolating: bool = False,
    ) -> None:
        self._pauses = pauses
        self._retried = retried
        self._isolating = isolating
        self._patience = patience
        self._timeout = timeout
        self._notices = notices
        self._last_response = time.monotonic()
        self.failure: str | None = None
        self.retries = 0

    async def send(self, attempt: Send) -> httpx.Response:
        """Return the response to a request, with its body read.

        Args:
            attempt: sends the request once.

        Raises:
            httpx.TransportError: there was no answer within `patience` seconds.
        """
        began = time.monotonic()
        return await retry(
            lambda: self._send_until_answered(attempt),
            lambda outcome: (
                isinstance(outcome, httpx.TransportError)
                or (isinstance(outcome, httpx.Response) and is_transient(outcome, self._retried))
            ),
            wait=wait_retry_after(wait_random_exponential(*self._pauses)),
            stop=lambda state: state.idle_for >= self._patience or isinstance(_error(state), NoAnswerError),
            before_sleep=self._note,
            retry_error_callback=lambda state: self._give_up(state, time.monotonic() - began),
        )

    async def send_once(self, attempt: Send) -> httpx.Response:
        """Return the response to a request that is not retried; it still counts as a sign of life."""
        response = await attempt()
        self._last_response = time.monotonic()
        return response

    async def _send_until_answered(self, attempt: Send) -> httpx.Response:
        began = time.monotonic()
        while True:
            try:
                async with asyncio.timeout(self._timeout):
                    response = await attempt()
                    await response.aread()
                self._last_response = time.monotonic()
                return response
            except (TimeoutError, httpx.TimeoutException):
                silent = time.monotonic() - max(self._last_response, began)
                if silent > self._patience:
                    raise NoAnswerError(f"no answer for {silent:.0f} s") from None
                self.retries += 1
                if silent >= self._timeout:
                    self._notices.warn(
                        "silence", f"the service has not answered for {silent:.0f} s; sending the request again"
                    )

    def _note(self, state: RetryCallState) -> None:
        self.retries += 1
        pause = state.next_action.sleep if state.next_action else 0.0
        self._notices.warn(f"retry {_kind(state)}", f"the service {_problem(state)}; retrying in {pause:.1f} s")

    def _give_up(self, state: RetryCallState, seconds: float) -> httpx.Response:
        failure = f"the service {_problem(state)}, even after retrying for {seconds:.0f} s"
        if not self._isolating or _response(state) is None:
            self.failure = failure
        assert state.outcome is not None
        response: httpx.Response = state.outcome.result()
        response.extensions[GIVEN_UP] = failure
        return response


def is_transient(response: httpx.Response, retried: Container[int] = (TOO_MANY_REQUESTS,)) -> bool:
    """Return whether the same request may succeed a little later: what x-should-retry says, or else the status.

    Args:
        response: the response.
        retried: the statuses below 500 that are retried.
    """
    told = response.headers.get("x-should-retry")
    if told in ("true", "false") and not response.is_success:
        return bool(told == "true")
    return response.status_code in retried or response.status_code >= 500


def wait_retry_after(default: Callable[[RetryCallState], float]) -> Callable[[RetryCallState], float]:
    """Return a wait strategy: as long as the response's Retry-After says plus up to a second, otherwise the given strategy."""
    jitter = wait_random(0, 1)

    def wait(state: RetryCallState) -> float:
        seconds = retry_after(_response(state))
        return default(state) if seconds is None else seconds + float(jitter(state))

    return wait


def retry_after(response: httpx.Response | None) -> float | None:
    """Return the seconds that a response asks the client to wait, at most a minute; None if it does not ask.

    The headers are Retry-After, retry-after-ms in milliseconds, or the reset time of a rate limit that is used up.
    """
    if response is None:
        return None
    headers = response.headers
    candidates = (
        _number(headers.get("retry-after-ms", ""), 1000),
        _retry_after_seconds(headers.get("retry-after", "")),
        _limit_reset(headers),
    )
    seconds = next((value for value in candidates if value is not None), None)
    return None if seconds is None else min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


def _number(text: str, unit: float = 1.0) -> float | None:
    return float(text) / unit if NUMBER.fullmatch(text) else None


def _retry_after_seconds(text: str) -> float | None:
    """Return the seconds until the time that Retry-After gives, as a number of seconds or as a date."""
    try:
        seconds = _number(text)
        return parsedate_to_datetime(text).timestamp() - time.time() if seconds is None else seconds
    except (ValueError, TypeError):
        return None


def _limit_reset(headers: httpx.Headers) -> float | None:
    """Return the seconds until the last used-up rate limit is reset, in the notation of OpenAI's headers: 20ms, 1s, 6m0s."""
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
    """Return the last clause of an error's message: clients put the address and their own names before it."""
    return next(iter(str(error).strip().splitlines()), "").rpartition(": ")[2] or type(error).__name__
