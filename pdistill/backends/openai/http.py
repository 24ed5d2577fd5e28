"""An HTTP client that retries transient failures, also those that a service or a gateway sends as a success."""

import json
import re
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

import httpx

from pdistill.backends.openai.failures import QUOTA_CODE
from pdistill.backends.remote.sender import RetryingSender
from pdistill.core.errors import BackendError

RETRIED = (408, 409, 425, 429)
"""Statuses below 500 that the next attempt may not get: a timeout, a conflict, too early, too many requests."""
TOO_LARGE = re.compile(r"request (?:is )?too large|tokens must be reduced", re.IGNORECASE)
"""Words of a rate limit that a request exceeds on its own, so that waiting does not help."""
BAD_GATEWAY = 502
STATUS = re.compile(r"[45]\d\d")
KEPT_HEADERS = ("retry-after", "retry-after-ms", "x-should-retry")

without_retries: ContextVar[bool] = ContextVar("without_retries", default=False)
"""Whether requests are sent once, in this context."""


class RetryingClient(httpx.AsyncClient):
    """An HTTP client that retries transient failures until the service is given up.

    Args:
        sender: sends every request.
        window: maximum number of requests in flight.
    """

    def __init__(self, sender: RetryingSender, window: int) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=window)
        super().__init__(follow_redirects=True, limits=limits)
        self._sender = sender
        self._answered = False

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Return the response, with its body read.

        Raises:
            BackendError: the service was given up while this request was being retried.
            httpx.TransportError: there was no answer within `patience` seconds.
        """

        async def attempt() -> httpx.Response:
            if self._sender.failure is not None:
                raise BackendError(self._sender.failure)
            response = await httpx.AsyncClient.send(self, request, **options)
            if response.status_code == 429:
                text = (await response.aread()).decode(errors="replace")
                if QUOTA_CODE in text or TOO_LARGE.search(text):
                    response.headers["x-should-retry"] = "false"
            if response.is_success and request.url.path.endswith("/completions"):
                return self._checked(response, await response.aread())
            return response

        return await (self._sender.send_once if without_retries.get() else self._sender.send)(attempt)

    def _checked(self, response: httpx.Response, content: bytes) -> httpx.Response:
        """Return the response to a question, or the failure that it contains although its status says success."""
        try:
            body = json.loads(content)
        except (ValueError, RecursionError):
            if self._answered or content.lstrip().startswith(b"{"):
                return _failure(response, BAD_GATEWAY, "a success that is not valid JSON", content)
            return response  # no API at this address: the client says so at once
        error = _error_in(body)
        if not error:
            self._answered = True
            return response
        code = str(error.get("code")) if isinstance(error, Mapping) else ""
        status = int(code) if STATUS.fullmatch(code) else BAD_GATEWAY
        return _failure(response, status, "an error, sent as a success", json.dumps({"error": error}).encode())


def _error_in(body: Any) -> Any:
    """Return the error in the body of a successful response; empty if there is none."""
    if not isinstance(body, Mapping):
        return None
    choices = body.get("choices")
    if isinstance(choices, list) and choices:
        return choices[0].get("error") if isinstance(choices[0], Mapping) else None
    return body.get("error")


def _failure(response: httpx.Response, status: int, phrase: str, content: bytes) -> httpx.Response:
    kept = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
    return httpx.Response(
        status,
        headers=kept,
        content=content,
        request=response.request,
        extensions={"reason_phrase": f"({phrase})".encode()},
    )
