"""Translates errors of the service and the client into one line without secrets that suggests what to do."""

import os
import re
from collections.abc import Mapping
from typing import Any

import openai

from pdistill.core.errors import BackendError

KEY_VARIABLE, ADDRESS_VARIABLE = "OPENAI_API_KEY", "OPENAI_BASE_URL"
SECRET = re.compile(r"\b(?:sk|gsk|xai|hf|key)[-_][\w*.-]{6,}|Bearer [^\s'\"]+")
QUOTA_CODE = "insufficient_quota"
"""OpenAI's error code for an account without credit, which comes with the status of a rate limit."""
MAX_DETAIL_CHARACTERS = 300
"""Length at which a service's error message is truncated."""
TOO_LONG = re.compile(
    r"maximum context length|context[_ ](?:length|size|window)|exceed_context_size|longer than the (?:model|maximum)|"
    r"more than the model's context|prompt is too long",
    re.IGNORECASE,
)
FILTERED = ("content_filter", "content_policy_violation", "responsibleaipolicyviolation")
UNSUPPORTED = re.compile(
    r"unsupported|not supported|does not support|unknown|unexpected|unrecogni[sz]ed|not permitted|extra_forbidden",
    re.IGNORECASE,
)


def clean(text: str) -> str:
    """Return the text with the key, and everything that looks like one, replaced by ***."""
    key = os.environ.get(KEY_VARIABLE, "").strip()
    return SECRET.sub("***", text.replace(key, "***") if len(key) > 3 else text)


def is_model_missing(error: openai.APIStatusError) -> bool:
    """Return whether a plain request for one token is refused because of the model, and not because of its token limit."""
    return error.status_code in (404, 405) or (
        error.status_code in (400, 422) and "max_tokens" not in _full_text(error)
    )


def is_too_long(error: openai.APIStatusError) -> bool:
    """Return whether the service says that the request exceeds the model's context."""
    return error.status_code in (400, 413, 422) and bool(TOO_LONG.search(_full_text(error)))


def is_filtered(error: openai.APIStatusError) -> bool:
    """Return whether the service's content filter refused this one query."""
    return error.status_code in (400, 403) and any(code in _full_text(error).lower() for code in FILTERED)


def unsupported_field(error: openai.APIStatusError, names: Mapping[str, Any]) -> str | None:
    """Return the field of a request that the service does not support for this model; None if the error is about something else."""
    message = _full_text(error)
    if error.status_code not in (400, 422) or not UNSUPPORTED.search(message):
        return None
    param = getattr(error, "param", None)
    if param in names:
        return str(param)
    return next((name for name in names if re.search(rf"\b{name}\b", message)), None)


def to_backend_error(error: BaseException, url: str, failure: str | None) -> BackendError:
    """Return a client error as a one-line error that suggests the next command.

    Args:
        url: the service's address.
        failure: why the sender has given up on the service, if it has.
    """
    if failure is not None:
        return BackendError(
            f"{clean(failure)} ({url}); everything done so far is saved, run the command again later, or with a longer "
            "-B teacher.patience=SECONDS"
        )
    if isinstance(error, BackendError):
        return error
    status, message = getattr(error, "status_code", None), detail(error)
    if status in (401, 403):
        return BackendError(
            f"the service at {url} refuses the key ({status}: {message}); set {KEY_VARIABLE} to a valid key, and run the command "
            "again"
        )
    if status == 402 or (isinstance(error, openai.APIStatusError) and QUOTA_CODE in _full_text(error)):
        return BackendError(
            f"the account at {url} has no credit or an unpaid bill ({status}: {message}); fix that, and run the command again"
        )
    number = f" ({status})" if status is not None else ""
    if status is not None and 400 <= status < 500:
        return BackendError(f"the service at {url} refuses the request{number}: {message}")
    return BackendError(
        f"the service at {url} failed{number}: {message}; run the command again, everything done so far is saved"
    )


def detail(error: BaseException) -> str:
    """Return the first line of an error's message, without secrets and truncated."""
    body = getattr(error, "body", None)
    message = (
        next((body[key] for key in ("message", "detail", "error") if body.get(key)), "")
        if isinstance(body, dict)
        else ""
    )
    text = message if isinstance(message, str) and message else str(message or error)
    line = clean(next(iter(text.strip().splitlines()), type(error).__name__)).rstrip(".")
    return line if len(line) <= MAX_DETAIL_CHARACTERS else f"{line[:MAX_DETAIL_CHARACTERS]}..."


def _full_text(error: openai.APIStatusError) -> str:
    """Return the whole error of the service: code, type and message."""
    return f"{error.body}" if error.body else str(error)
