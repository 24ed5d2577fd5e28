"""A connection to one service: every request is retried, and address, key and model are checked first."""

import json
import os
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import openai

from pdistill.backends.openai import OpenAIOptions
from pdistill.backends.openai.failures import (
    ADDRESS_VARIABLE,
    KEY_VARIABLE,
    clean,
    detail,
    is_model_missing,
    to_backend_error,
)
from pdistill.backends.openai.http import RETRIED, RetryingClient
from pdistill.backends.remote.address import PARTS, has_more_parts
from pdistill.backends.remote.background import Background
from pdistill.backends.remote.environment import check_environment, proxy_variable
from pdistill.backends.remote.notices import Notices
from pdistill.backends.remote.probe import unreachable_reason
from pdistill.backends.remote.sender import GIVEN_UP, RetryingSender
from pdistill.core.errors import BackendError, nearest

T = TypeVar("T")

OPENAI = "https://api.openai.com/v1"
NO_KEY = "none"
"""Sent in place of a key where none is set: servers on this machine usually do not require one."""
CONNECT_SECONDS = 10.0
"""Limit for establishing a connection; how long an answer may take is up to the sender."""
MAX_NAMES = 20
"""Number of model names that an error lists."""
NO_LIST = (404, 405, 501)

_answered: set[str] = set()
"""Addresses where a server has answered this process: from then on, outages are waited out for `patience` seconds."""


class Connection:
    """The client of one service; its requests run on a background thread while the connection is open."""

    def __init__(self, options: OpenAIOptions, background: Background) -> None:
        self.url = address(options)
        self.notices = Notices(clean)
        self.sender = RetryingSender(options.patience, options.timeout, self.notices, retried=RETRIED, isolating=True)
        self.background = background
        waits: Any = httpx.Timeout(None, connect=CONNECT_SECONDS)
        # newer versions of the openai client accept an httpx client too, but their types don't say so
        http: Any = RetryingClient(self.sender, options.window)
        self.client = openai.AsyncOpenAI(
            api_key=key_for(self.url), base_url=self.url, max_retries=0, timeout=waits, http_client=http
        )

    def check(self, model: str) -> None:
        """Guarantee that the service is reachable, accepts the key and has the model.

        A model that is missing from the service's list may still exist: some services serve more models than they list, or
        list none. So it is asked for one token.

        Raises:
            BackendError: the service is not reachable, refuses the key, or does not have the model.
        """
        names = self._models()
        if model in names or f"{model}:latest" in names:
            return
        message = {"role": "user", "content": "."}
        try:
            answer = self.wait(self.create(True, model=model, messages=[message], max_tokens=1))
            if not hasattr(answer, "choices"):
                raise BackendError(self._no_model(model, names))
        except openai.APIStatusError as error:
            if is_model_missing(error):
                raise BackendError(self._no_model(model, names, f" ({error.status_code}: {detail(error)})")) from None
            if error.status_code in (401, 402, 403, 429) or error.status_code >= 500:
                raise self.to_backend_error(error) from None
        except json.JSONDecodeError:
            raise BackendError(self._no_model(model, names, " (its answer is not JSON)")) from None
        except (openai.OpenAIError, ValueError) as error:
            raise self.to_backend_error(error) from None

    def create(self, chat: bool, **fields: Any) -> Coroutine[Any, Any, Any]:
        """Return a coroutine that sends one request to the chat completions or the completions endpoint and returns the answer."""
        resource: Any = self.client.chat.completions if chat else self.client.completions
        request: Coroutine[Any, Any, Any] = resource.create(**fields)
        return request

    def to_backend_error(self, error: BaseException, *, answered: bool = False) -> BackendError:
        """Return a client error as a one-line error that suggests the next command; see failures."""
        return to_backend_error(error, self.url, self.sender.failure or given_up(error), answered=answered)

    def close(self) -> None:
        """Close the connections."""
        self.wait(self.client.close())

    def _models(self) -> list[str]:
        """Return the names of the models that the service lists; empty if it has no list.

        Raises:
            BackendError: the service is not reachable, or refuses the key.
        """
        listing = f"{self.url}/models"
        if self.url not in _answered:
            reason = unreachable_reason(listing)
            if reason is not None:
                proxy = proxy_variable(listing)
                start = f"it is asked through the proxy in {proxy}: check that, or unset it" if proxy else "start it"
                raise BackendError(
                    f"can't reach the service at {self.url}: {clean(reason).lower()}; {start}, check the network, or set "
                    f"{ADDRESS_VARIABLE} or -B teacher.base_url=URL to its address"
                )
            _answered.add(self.url)
        try:
            response: Any = self.wait(self.client.get("/models", cast_to=object))
        except openai.APIStatusError as error:
            if error.status_code in NO_LIST:
                return []
            raise self.to_backend_error(error) from None
        except (openai.OpenAIError, ValueError) as error:
            raise self.to_backend_error(error) from None
        rows = response.get("data") if isinstance(response, Mapping) else response
        return list(_names(rows if isinstance(rows, list) else []))

    def _no_model(self, model: str, names: list[str], reason: str = "") -> str:
        if not names:
            return (
                f"the service at {self.url} has no model '{model}'{reason}, or its API is not OpenAI-compatible; check the name, "
                f"and the address, which usually ends in /v1 ({ADDRESS_VARIABLE})"
            )
        near, listed = nearest(model, names), ", ".join(sorted(names)[:MAX_NAMES])
        more = f" and {len(names) - MAX_NAMES:,} more" if len(names) > MAX_NAMES else ""
        return f"the service at {self.url} has no model '{model}'{reason}{near}{' ' if near else '; '}choose from {listed}{more}"

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Return the result of a coroutine, once it is done."""
        return self.background.submit(work).result()


def given_up(error: BaseException) -> str | None:
    """Return why the request that got this error is not retried any more; None if it was not retried."""
    response = getattr(error, "response", None)
    return None if response is None else response.extensions.get(GIVEN_UP)


@contextmanager
def open_connection(options: OpenAIOptions) -> Iterator[Connection]:
    """Yield a connection, which is closed at the end.

    Raises:
        BackendError: the key is missing or malformed, or the address or a variable of the environment is not valid.
    """
    check_environment()
    with Background() as background:
        connection = Connection(options, background)
        try:
            yield connection
        finally:
            connection.close()


def address(options: OpenAIOptions) -> str:
    """Return the service's address, without a trailing slash.

    Raises:
        BackendError: it contains a password, a query string or a fragment, or is not a valid address.
    """
    url = (options.base_url or os.environ.get(ADDRESS_VARIABLE, "").strip() or OPENAI).rstrip("/")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or has_more_parts(url):
        raise BackendError(
            f"the service's address must have the form http://HOST:PORT/v1, without {PARTS}; set "
            f"{ADDRESS_VARIABLE} or -B teacher.base_url=URL"
        )
    return url


def key_for(url: str) -> str:
    """Return the API key to send to the service.

    Raises:
        BackendError: none is set and the service is OpenAI's own, or the value can't be a key.
    """
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key and urlsplit(url).hostname == urlsplit(OPENAI).hostname:
        raise BackendError(
            f"no API key is set for {url}; run: export {KEY_VARIABLE}=sk-..., with your key, or choose another service with "
            f"{ADDRESS_VARIABLE} or -B teacher.base_url=URL"
        )
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise BackendError(
            f"{KEY_VARIABLE} contains a character that is not allowed in a key; run: export {KEY_VARIABLE}=sk-..., with your key"
        )
    return key or NO_KEY


def _names(rows: Iterable[Any]) -> Iterator[str]:
    for row in rows:
        if isinstance(row, Mapping) and isinstance(row.get("id"), str):
            yield row["id"]
