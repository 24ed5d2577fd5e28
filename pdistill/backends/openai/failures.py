"""Translates errors of the service and the client into one line without secrets that suggests what to do."""

import os
import re
from collections.abc import Iterable, Mapping

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
WORDS = ("message", "msg", "detail", "error", "status_msg", "title", "reason")
"""Keys under which services put the words of an error, the most telling first."""
MARKUP = re.compile(r"<(style|script)\b.*?</\1\s*>|<[^>]*>", re.DOTALL | re.IGNORECASE)


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
    """Return whether the service says, in words that are known, that the request exceeds the model's context."""
    return error.status_code in (400, 413, 422) and bool(TOO_LONG.search(_full_text(error)))


def is_unpaid(error: BaseException) -> bool:
    """Return whether the service says that the account has no credit."""
    return isinstance(error, openai.APIStatusError) and (error.status_code == 402 or QUOTA_CODE in _full_text(error))


def may_belong_to_request(error: openai.APIStatusError) -> bool:
    """Return whether an error may belong to its request alone: all may but those about the key or the account."""
    return error.status_code != 401 and not is_unpaid(error)


def refused_fields(error: openai.APIStatusError, names: Iterable[str]) -> list[str]:
    """Return the fields of a request that the service's refusal names, and so may be about."""
    if error.status_code not in (400, 422) or is_too_long(error):
        return []
    param, message = getattr(error, "param", None), _full_text(error)
    return [name for name in names if param == name or re.search(rf"\b{name}\b", message)]


def to_backend_error(error: BaseException, url: str, failure: str | None, *, answered: bool = False) -> BackendError:
    """Return a client error as a one-line error that suggests the next command.

    Args:
        url: the service's address.
        failure: why the sender has given up on the service, if it has.
        answered: whether the service has answered requests with this key: then the key is not called a wrong one.
    """
    if failure is not None:
        return BackendError(
            f"{clean(failure)} ({url}); everything done so far is saved, run the command again later, or with a longer "
            "-B teacher.patience=SECONDS"
        )
    if isinstance(error, BackendError):
        return error
    status, message = getattr(error, "status_code", None), detail(error)
    if status in (401, 403) and not answered:
        return BackendError(
            f"the service at {url} refuses the key ({status}: {message}); set {KEY_VARIABLE} to a valid key, and run the command "
            "again"
        )
    if is_unpaid(error):
        return BackendError(
            f"the account at {url} has no credit or an unpaid bill ({status}: {message}); fix that, and run the command again"
        )
    number = f" ({status})" if status is not None else ""
    if status is not None and 400 <= status < 500:
        since = " now, after it has answered others" if answered else ""
        return BackendError(f"the service at {url} refuses the request{since}{number}: {message}")
    return BackendError(
        f"the service at {url} failed{number}: {message}; run the command again, everything done so far is saved"
    )


def detail(error: BaseException) -> str:
    """Return the first line of an error's message, without secrets and truncated."""
    return said(getattr(error, "body", None)) or shortened(str(error)) or type(error).__name__


def said(value: object) -> str:
    """Return what a service says in the JSON of an error, whose form differs from service to service; empty if nothing."""
    return shortened(_words(value))


def shortened(text: str) -> str:
    """Return the first line of a service's words, without secrets and truncated."""
    line = clean(next(iter(text.strip().splitlines()), "")).rstrip(".")
    return line if len(line) <= MAX_DETAIL_CHARACTERS else f"{line[:MAX_DETAIL_CHARACTERS]}..."


def _words(value: object) -> str:
    if isinstance(value, str):
        return " ".join(MARKUP.sub(" ", value).split()) if value.lstrip().startswith("<") else value.strip()
    if isinstance(value, list):
        return next(filter(None, map(_words, value)), "")
    if not isinstance(value, Mapping):
        return ""
    return next(filter(None, (_words(value.get(key)) for key in (*WORDS, "code", "type"))), "")


def _full_text(error: openai.APIStatusError) -> str:
    """Return the whole error of the service: code, type and message."""
    return f"{error.body}" if error.body else str(error)
