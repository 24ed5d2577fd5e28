"""One open session with the service: the key and the address are proven first, every wait ends where the service is gone."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from contextlib import contextmanager
from typing import Any

from pdistill.backends.packages import needing
from pdistill.backends.remote.background import run_blocking
from pdistill.backends.remote.sender import RetryingSender
from pdistill.backends.remote.notices import Notices, Relay
from pdistill.backends.remote.probe import unreachable
from pdistill.backends.tinker import TinkerOptions, transport
from pdistill.backends.tinker.failures import ADDRESS_VARIABLE, clean, to_backend_error, status_of, verdict
from pdistill.core.errors import BackendError, nearest

POLL_SECONDS, CLOSE_SECONDS = 0.5, 5.0
"""Seconds between two looks at whether the service was given up, and for the goodbye."""

ROUTINE_WARNING = "because of try_again"
"""What the client warns of each time that a result takes a while."""

_answered: set[str] = set()
"""Addresses where a server has answered this process: from then on a silence is waited out, as long as patience lasts."""


class Connection:
    """A session that is opened when it is first needed, and anew where the service has forgotten it."""

    def __init__(self, options: TinkerOptions) -> None:
        self.client = load_client()
        self.url = address(options)
        self.notices = Notices(clean)
        self.sender = RetryingSender(options.patience, options.timeout, self.notices)
        self._service: Any = None
        self._forgotten: list[Any] = []
        self._lock = threading.Lock()

    def call(self, work: Callable[[], Any]) -> Any:
        """Return what the client's call returns; a future of its own is waited for.

        Raises:
            BackendError: it failed, or the service was given up.
        """
        try:
            return self.call_raw(work)
        except Exception as error:  # noqa: BLE001 - the client raises its own errors and plain ones
            raise to_backend_error(error, self.url) from None

    def call_raw(self, work: Callable[[], Any]) -> Any:
        """Return the same; errors are the client's own, where the service was not given up."""
        future = run_blocking(lambda: _result(work()))
        while not wait([future], timeout=POLL_SECONDS).done:
            self._check()
        return future.result()

    async def result_of(self, future: Any) -> Any:
        """Return the result of one of the client's futures.

        Raises:
            BackendError: the service was given up. Other errors are the client's own.
        """
        waiting = asyncio.wrap_future(future.future())
        try:
            while not (await asyncio.wait({waiting}, timeout=POLL_SECONDS))[0]:
                self._check()
        finally:
            if not waiting.done():
                waiting.cancel()
        return waiting.result()

    def service(self) -> Any:
        """Return the client of the open session.

        Raises:
            BackendError: there is no key, or no session can be opened.
        """
        with self._lock:
            if self._service is None:
                transport.send_through(self.url, self.sender)
                self._service = self.client.ServiceClient(base_url=self.url, user_metadata={"made_by": "pdistill"})
            return self._service

    def reopen(self, forgotten: Any) -> None:
        """Guarantee that the session is another one than `forgotten`."""
        with self._lock:
            if self._service is forgotten:
                self._forgotten.append(forgotten)
                self._service = None

    def models(self) -> dict[str, Any]:
        """Return what the service serves, by name.

        Raises:
            BackendError: nobody answers at the address, or the key is refused.
        """
        if self.url not in _answered:
            self._probe()
            _answered.add(self.url)
        transport.send_through(self.url, self.sender)
        try:
            found = self.call_raw(lambda: self.client.RestClient(base_url=self.url).get_server_capabilities())
        except Exception as error:  # noqa: BLE001 - the client raises its own errors and plain ones
            if verdict(error) == "gone":
                raise BackendError(
                    f"what answers at {self.url} is no Tinker service ({status_of(error)}); set {ADDRESS_VARIABLE} to the "
                    "service's address"
                ) from None
            raise to_backend_error(error, self.url) from None
        return {model.model_name: model for model in found.supported_models}

    def close(self, status: str) -> None:
        """End the session, without waiting long."""
        for service in self._forgotten:
            service.close("errored")
        if self._service is not None:
            try:
                self._service.close(status).result(CLOSE_SECONDS)
            except Exception as error:  # noqa: BLE001 - a goodbye that isn't heard changes nothing
                self.notices.warn("close", f"the session at {self.url} could not be ended: {type(error).__name__}")
        self._forgotten, self._service = [], None

    def _probe(self) -> None:
        """Guarantee that an HTTP server answers at the address, within 10 seconds."""
        said = unreachable_reason(f"{self.url}/api/v1/healthz")
        if said is not None:
            raise BackendError(
                f"the Tinker service at {self.url} can't be reached: {clean(said).lower()}; look at the network, or set "
                f"{ADDRESS_VARIABLE} to its address"
            )

    def _check(self) -> None:
        last = transport.sender_for(f"{self.url}/")
        failure = self.sender.failure or (last.failure if last else None)
        if failure is not None:
            later = "run the command again later, or with a longer -B patience=SECONDS"
            then = "do that, and run the command again" if failure == transport.UNPAID else later
            raise BackendError(f"{failure} ({self.url}); all that was done is kept, {then}")


@contextmanager
def open_connection(options: TinkerOptions) -> Iterator[Connection]:
    """Give a connection that is closed at the end; what the client's loggers say is said as notices meanwhile."""
    connection = Connection(options)
    status = "interrupted"
    with Relay("tinker", connection.notices, excluding=ROUTINE_WARNING):
        try:
            yield connection
            status = "success"
        except Exception:
            status = "errored"
            raise
        finally:
            connection.close(status)


def check_served(models: dict[str, Any], model: str, url: str, *, trained: bool) -> None:
    """Guarantee that the service serves a model, and trains it.

    Raises:
        BackendError: it doesn't; names the nearest that it does.
    """
    wanted = "trainable" if trained else "sampleable"
    names = [name for name, found in models.items() if getattr(found, wanted, None) is not False]
    if model not in names:
        does = "train" if trained else "serve"
        near = nearest(model, names)
        raise BackendError(
            f"the Tinker service at {url} does not {does} model '{model}'{near}{' ' if near else '; '}choose from "
            f"{', '.join(sorted(names))}"
        )


def address(options: TinkerOptions) -> str:
    """Return the service's address as the client will use it."""
    from tinker.lib.base_url import resolve_base_url

    return str(resolve_base_url(options.base_url))


def no_retries() -> Any:
    """Return the client's settings for asking once: by itself it asks anew, and pays, without end where an answer is lost."""
    from tinker.lib.retry_handler import RetryConfig

    return RetryConfig(enable_retry_logic=False, enable_stuck_detection=False)


def load_client() -> Any:
    """Return the client's module.

    Raises:
        BackendError: it is not installed.
    """
    with needing("tinker", ("tinker",)):
        import tinker
    return tinker


def _result(returned: Any) -> Any:
    return returned.result() if hasattr(returned, "result") else returned
