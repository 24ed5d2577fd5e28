"""One connection to a service: every request goes through the gate, the address, the key and the model are proven first."""

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
    SPENT,
    clean,
    detail,
    explained,
    lacks_model,
)
from pdistill.backends.remote.background import Background
from pdistill.backends.remote.gate import Gate
from pdistill.backends.remote.notices import Notices
from pdistill.backends.remote.probe import unreachable
from pdistill.core.errors import BackendError, nearest

T = TypeVar("T")

OPENAI = "https://api.openai.com/v1"
NO_KEY = "none"
"""What is sent where there is no key: servers on one's own machine ask for none."""
CONNECT = 10.0
"""Seconds to a connection; how long an answer may take is the gate's to say."""
MOST_NAMES = 20
"""Names of models that an error lists."""
NO_LIST = (404, 405, 501)

_answered: set[str] = set()
"""Addresses where a server has answered this process: from then on a silence is waited out, as long as patience lasts."""


class GatedClient(httpx.AsyncClient):
    """An HTTP client that asks again what may pass by itself, until the service is given up.

    Args:
        gate: what every request goes through.
        window: requests in flight.
    """

    def __init__(self, gate: Gate, window: int) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=window)
        super().__init__(follow_redirects=True, limits=limits)
        self._gate = gate

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        """Return the answer, read to its end.

        Raises:
            BackendError: the service was given up while this request was tried again.
            httpx.TransportError: there was no answer for as long as patience lasts.
        """

        async def once() -> httpx.Response:
            if self._gate.failure is not None:
                raise BackendError(self._gate.failure)
            response = await httpx.AsyncClient.send(self, request, **options)
            if response.status_code == 429 and SPENT in (await response.aread()).decode(errors="replace"):
                response.headers["x-should-retry"] = "false"
            return response

        return await self._gate.send(once)


class Connection:
    """The client of one service, its requests in flight on a thread of their own while the connection is open."""

    def __init__(self, options: OpenAIOptions, background: Background) -> None:
        self.url = address(options)
        self.notices = Notices(clean)
        self.gate = Gate(options.patience, options.timeout, self.notices)
        self.background = background
        waits: Any = httpx.Timeout(None, connect=CONNECT)
        http: Any = GatedClient(
            self.gate, options.window
        )  # newer clients take this kind too, but are typed for another
        self.client = openai.AsyncOpenAI(
            api_key=key_for(self.url), base_url=self.url, max_retries=0, timeout=waits, http_client=http
        )

    def check(self, model: str) -> None:
        """Guarantee that the service answers, takes the key and has the model.

        A name that is not on its list is not refused for that: some services answer for more names, or have no list. It
        is asked for one token.

        Raises:
            BackendError: nobody answers, the key is refused, or the service has no such model.
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
            if lacks_model(error):
                raise BackendError(self._no_model(model, names, f" ({error.status_code}: {detail(error)})")) from None
            if error.status_code in (401, 402, 403, 429) or error.status_code >= 500:
                raise self.explained(error) from None
        except (openai.OpenAIError, ValueError) as error:
            raise self.explained(error) from None

    def create(self, chat: bool, **fields: Any) -> Coroutine[Any, Any, Any]:
        """Return the service's answer-to-be to one request, by chat completions or by completions."""
        resource: Any = self.client.chat.completions if chat else self.client.completions
        request: Coroutine[Any, Any, Any] = resource.create(**fields)
        return request

    def explained(self, error: BaseException) -> BackendError:
        """Return an error of the client as one line, with the next command."""
        return explained(error, self.url, self.gate.failure)

    def close(self) -> None:
        """End the connections."""
        self.wait(self.client.close())

    def _models(self) -> list[str]:
        """Return the names of the models that the service lists; none where it has no list.

        Raises:
            BackendError: nobody answers at the address, or the key is refused.
        """
        listing = f"{self.url}/models"
        if self.url not in _answered:
            said = unreachable(listing)
            if said is not None:
                raise BackendError(
                    f"the service at {self.url} can't be reached: {clean(said).lower()}; start it, look at the network, or set "
                    f"{ADDRESS_VARIABLE} or -B teacher.base_url=URL to its address"
                )
            _answered.add(self.url)
        try:
            found: Any = self.wait(self.client.get("/models", cast_to=object))
        except openai.APIStatusError as error:
            if error.status_code in NO_LIST:
                return []
            raise self.explained(error) from None
        except (openai.OpenAIError, ValueError) as error:
            raise self.explained(error) from None
        rows = found.get("data") if isinstance(found, Mapping) else found
        return list(_names(rows if isinstance(rows, list) else []))

    def _no_model(self, model: str, names: list[str], said: str = "") -> str:
        if not names:
            return (
                f"the service at {self.url} has no model '{model}'{said}, or does not speak OpenAI's API; look at the name, and at "
                f"the address, which ends in /v1 mostly ({ADDRESS_VARIABLE})"
            )
        near, listed = nearest(model, names), ", ".join(sorted(names)[:MOST_NAMES])
        more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
        return f"the service at {self.url} has no model '{model}'{said}{near}{' ' if near else '; '}choose from {listed}{more}"

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine returns, once it has."""
        return self.background.submit(work).result()


@contextmanager
def connected(options: OpenAIOptions) -> Iterator[Connection]:
    """Give a connection that is closed at the end.

    Raises:
        BackendError: there is no usable key, or no usable address.
    """
    with Background() as background:
        connection = Connection(options, background)
        try:
            yield connection
        finally:
            connection.close()


def address(options: OpenAIOptions) -> str:
    """Return the service's address, without a slash at its end.

    Raises:
        BackendError: it holds a password or a query, or is none.
    """
    url = (options.base_url or os.environ.get(ADDRESS_VARIABLE, "").strip() or OPENAI).rstrip("/")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or "@" in url or "?" in url:
        raise BackendError(
            "the service's address is not of the form http://HOST:PORT/v1, or it holds a name, a password or a query; set "
            f"{ADDRESS_VARIABLE} or -B teacher.base_url=URL to one that is"
        )
    return url


def key_for(url: str) -> str:
    """Return the key that is sent to the service.

    Raises:
        BackendError: there is none, and the service is OpenAI's own; or it can't be a key.
    """
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key and urlsplit(url).hostname == urlsplit(OPENAI).hostname:
        raise BackendError(
            f"there is no key for {url}; run: export {KEY_VARIABLE}=sk-..., with your key, or name another service with "
            f"{ADDRESS_VARIABLE} or -B teacher.base_url=URL"
        )
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise BackendError(
            f"{KEY_VARIABLE} holds a character that no key has; run: export {KEY_VARIABLE}=sk-..., with your key"
        )
    return key or NO_KEY


def _names(rows: Iterable[Any]) -> Iterator[str]:
    for row in rows:
        if isinstance(row, Mapping) and isinstance(row.get("id"), str):
            yield row["id"]
