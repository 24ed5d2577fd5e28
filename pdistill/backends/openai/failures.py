"""What the service's and the client's errors mean, in one line without a secret, and what can be done about them."""

import os
import re
from collections.abc import Mapping
from typing import Any

import openai

from pdistill.core.errors import BackendError

KEY_VARIABLE, ADDRESS_VARIABLE = "OPENAI_API_KEY", "OPENAI_BASE_URL"
SECRET = re.compile(r"\b(?:sk|gsk|xai|hf|key)[-_][\w*.-]{6,}|Bearer [^\s'\"]+")
SPENT = "insufficient_quota"
"""OpenAI's code for an account without money, which comes with the status of a rate limit."""
LONGEST = 300
"""Characters of a service's words that are said."""
TOO_LONG = re.compile(
    r"maximum context length|context[_ ](?:length|size|window)|exceed_context_size|longer than the (?:model|maximum)|"
    r"more than the model's context|prompt is too long",
    re.IGNORECASE,
)
FILTERED = ("content_filter", "content_policy_violation", "responsibleaipolicyviolation")
NOT_TAKEN = re.compile(
    r"unsupported|not supported|does not support|unknown|unexpected|unrecogni[sz]ed|not permitted|extra_forbidden",
    re.IGNORECASE,
)


def clean(text: str) -> str:
    """Return the text without the key, and without what looks like one."""
    key = os.environ.get(KEY_VARIABLE, "").strip()
    return SECRET.sub("***", text.replace(key, "***") if len(key) > 3 else text)


def lacks_model(error: openai.APIStatusError) -> bool:
    """Return whether a plain request for one token is refused for the model's sake, and not for that limit's."""
    return error.status_code in (404, 405) or (error.status_code in (400, 422) and "max_tokens" not in _told(error))


def too_long(error: openai.APIStatusError) -> bool:
    """Return whether the service says that the request is longer than the model's context."""
    return error.status_code in (400, 413, 422) and bool(TOO_LONG.search(_told(error)))


def filtered(error: openai.APIStatusError) -> bool:
    """Return whether the service refuses to answer this one query for what it says."""
    return error.status_code in (400, 403) and any(code in _told(error).lower() for code in FILTERED)


def not_taken(error: openai.APIStatusError, names: Mapping[str, Any]) -> str | None:
    """Return which of a request's fields the service does not know or not take with this model; None where that's not it."""
    told = _told(error)
    if error.status_code not in (400, 422) or not NOT_TAKEN.search(told):
        return None
    param = getattr(error, "param", None)
    if param in names:
        return str(param)
    return next((name for name in names if re.search(rf"\b{name}\b", told)), None)


def explained(error: BaseException, url: str, failure: str | None) -> BackendError:
    """Return an error of the client as one line, with the next command.

    Args:
        url: the service's address.
        failure: what the gate says, where it has given the service up.
    """
    if failure is not None:
        return BackendError(
            f"{clean(failure)} ({url}); all that was done is kept, run the command again later, or with a longer "
            "-B teacher.patience=SECONDS"
        )
    if isinstance(error, BackendError):
        return error
    status, said = getattr(error, "status_code", None), detail(error)
    if status in (401, 403):
        return BackendError(
            f"the service at {url} refuses the key ({status}: {said}); set {KEY_VARIABLE} to a key that is valid there, and run "
            "the command again"
        )
    if status == 402 or (isinstance(error, openai.APIStatusError) and SPENT in _told(error)):
        return BackendError(
            f"the service at {url} wants its bill settled ({status}: {said}); do that, and run the command again"
        )
    number = f" ({status})" if status is not None else ""
    if status is not None and 400 <= status < 500:
        return BackendError(f"the service at {url} refuses the request{number}: {said}")
    return BackendError(
        f"the service at {url} failed{number}: {said}; run the command again, all that was done is kept"
    )


def detail(error: BaseException) -> str:
    """Return the first line of what an error says, without a secret and not too long."""
    body = getattr(error, "body", None)
    found = (
        next((body[key] for key in ("message", "detail", "error") if body.get(key)), "")
        if isinstance(body, dict)
        else ""
    )
    text = found if isinstance(found, str) and found else str(found or error)
    line = clean(next(iter(text.strip().splitlines()), type(error).__name__)).rstrip(".")
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}..."


def _told(error: openai.APIStatusError) -> str:
    """Return all that the service says: code, type and message."""
    return f"{error.body}" if error.body else str(error)
