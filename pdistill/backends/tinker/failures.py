"""Translates errors of the service and the client into one line without secrets that suggests what to do."""

import os
import re
from typing import Any, Literal

import httpx

from pdistill.core.errors import BackendError

Verdict = Literal["retry", "gone", "denied", "refused"]
"""The request may succeed when retried; its session or saved state is gone; the account has no access; it is not valid."""

KEY_VARIABLE, ADDRESS_VARIABLE = "TINKER_API_KEY", "TINKER_BASE_URL"
SECRET = re.compile(r"tml-[\w.-]{4,}|eyJ[\w-]{4,}\.[\w.-]+")
STATUS = re.compile(r"status[ =:]+(\d{3})")
INNER = re.compile(r"Error code: \d+ - \{.*?'detail': (['\"])(.*?)\1[,}]", re.DOTALL)
MAX_DETAIL_CHARACTERS = 300
"""Length at which a service's error message is truncated."""


def clean(text: str) -> str:
    """Return the text with the key, and everything that looks like one, replaced by ***."""
    key = os.environ.get(KEY_VARIABLE, "")
    return SECRET.sub("***", text.replace(key, "***") if key else text)


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status of a client error; some errors contain it only in their message."""
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        return status
    found = STATUS.search(str(error)) if isinstance(error, ValueError) else None
    return int(found[1]) if found else None


def verdict(error: BaseException) -> Verdict:
    """Return how to react to an error raised by the client."""
    status = status_of(error)
    if status is not None:
        return _by_status(status)
    if isinstance(error, BackendError):
        return "refused"
    name = type(error).__name__
    if name == "RequestFailedError":
        category = str(getattr(getattr(error, "category", None), "name", "")).lower()
        return "refused" if category == "user" else "retry"
    if name in ("APIConnectionError", "APITimeoutError", "RetryableException") or isinstance(
        error, httpx.TransportError | TimeoutError
    ):
        return "retry"
    return "refused"


def _by_status(status: int) -> Verdict:
    if status in (401, 402, 403):
        return "denied"
    if status in (404, 410):
        return "gone"
    return "retry" if status in (408, 409, 425, 429) or status >= 500 else "refused"


def to_backend_error(error: BaseException, url: str) -> BackendError:
    """Return a client error as a one-line error that suggests the next command."""
    if isinstance(error, BackendError):
        return error
    status, message = status_of(error), detail(error)
    if status in (401, 403):
        return BackendError(
            f"the Tinker service at {url} refuses the key ({status}: {message}); set {KEY_VARIABLE} to a valid key, "
            "and run the command again"
        )
    if status == 402:
        return BackendError(
            f"the account at {url} has no credit or an unpaid bill ({message}); fix that, and run the command again"
        )
    if "must be set" in str(error):
        return BackendError(
            f"no API key is set for the Tinker service; run: export {KEY_VARIABLE}=tml-..., with your key, or: tinker auth login"
        )
    if "api_key" in str(error) or "credential" in str(error).lower():
        return BackendError(
            f"the API key for the Tinker service is not valid ({message}); run: export {KEY_VARIABLE}=tml-..., with your key"
        )
    number = f" ({status})" if status is not None else ""
    if verdict(error) == "refused":
        return BackendError(f"the Tinker service refuses the request{number}: {message}")
    return BackendError(
        f"the Tinker service at {url} failed{number}: {message}; run the command again, everything done so far is saved"
    )


def detail(error: BaseException) -> str:
    """Return the first line of an error's message, without secrets and truncated."""
    body: Any = getattr(error, "body", None)
    message = body.get("detail") if isinstance(body, dict) else None
    text = message if isinstance(message, str) and message else str(error) or type(error).__name__
    text = text.partition(" for self.request_id")[0]
    inner = INNER.search(text)
    text = (inner[2] if inner else text).removeprefix("Request failed: ").removeprefix("Failed to retrieve future: ")
    line = clean(next(iter(text.strip().splitlines()), type(error).__name__)).rstrip(".")
    return line if len(line) <= MAX_DETAIL_CHARACTERS else f"{line[:MAX_DETAIL_CHARACTERS]}..."
