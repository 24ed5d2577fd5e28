"""What the service's and the client's errors mean, in one line without a secret, and what can be done about them."""

import os
import re
from typing import Any, Literal

import httpx

from pdistill.core.errors import BackendError

Verdict = Literal["retry", "gone", "denied", "refused"]
"""Worth another try; the session or its saved state is gone; the account may not; the request itself is wrong."""

KEY_VARIABLE, ADDRESS_VARIABLE = "TINKER_API_KEY", "TINKER_BASE_URL"
SECRET = re.compile(r"tml-[\w.-]{4,}|eyJ[\w-]{4,}\.[\w.-]+")
STATUS = re.compile(r"status[ =:]+(\d{3})")
INNER = re.compile(r"Error code: \d+ - \{.*?'detail': (['\"])(.*?)\1[,}]", re.DOTALL)
MAX_DETAIL_CHARACTERS = 300
"""Characters of a service's words that are said."""


def clean(text: str) -> str:
    """Return the text without the key, and without what looks like one."""
    key = os.environ.get(KEY_VARIABLE, "")
    return SECRET.sub("***", text.replace(key, "***") if key else text)


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status that an error of the client speaks of; some say it in their text alone."""
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        return status
    found = STATUS.search(str(error)) if isinstance(error, ValueError) else None
    return int(found[1]) if found else None


def verdict(error: BaseException) -> Verdict:
    """Return what can be done about an error that the client raised."""
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
    """Return an error of the client as one line, with the next command."""
    if isinstance(error, BackendError):
        return error
    status, said = status_of(error), detail(error)
    if status in (401, 403):
        return BackendError(
            f"the Tinker service at {url} refuses the key ({status}: {said}); set {KEY_VARIABLE} to a key that is valid "
            "there, and run the command again"
        )
    if status == 402:
        return BackendError(
            f"the Tinker service at {url} wants its bill settled ({said}); do that, and run the command again"
        )
    if "must be set" in str(error):
        return BackendError(
            f"there is no key for the Tinker service; run: export {KEY_VARIABLE}=tml-..., with your key, or: tinker auth login"
        )
    if "api_key" in str(error) or "credential" in str(error).lower():
        return BackendError(
            f"there is no usable key for the Tinker service ({said}); run: export {KEY_VARIABLE}=tml-..., with your key"
        )
    number = f" ({status})" if status is not None else ""
    if verdict(error) == "refused":
        return BackendError(f"the Tinker service refuses the request{number}: {said}")
    return BackendError(
        f"the Tinker service at {url} failed{number}: {said}; run the command again, all that was done is kept"
    )


def detail(error: BaseException) -> str:
    """Return the first line of what an error says, without a secret and not too long."""
    body: Any = getattr(error, "body", None)
    said = body.get("detail") if isinstance(body, dict) else None
    text = said if isinstance(said, str) and said else str(error) or type(error).__name__
    text = text.partition(" for self.request_id")[0]
    inner = INNER.search(text)
    text = (inner[2] if inner else text).removeprefix("Request failed: ").removeprefix("Failed to retrieve future: ")
    line = clean(next(iter(text.strip().splitlines()), type(error).__name__)).rstrip(".")
    return line if len(line) <= MAX_DETAIL_CHARACTERS else f"{line[:MAX_DETAIL_CHARACTERS]}..."
