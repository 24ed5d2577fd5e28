"""A session with the service: key and address are checked first, and every wait ends if the service is given up."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from contextlib import contextmanager
from typing import Any

from pdistill.backends.packages import needing
from pdistill.backends.remote.background import run_blocking
from pdistill.backends.remote.environment import check_environment, proxy_variable
from pdistill.backends.remote.notices import Notices, Relay
from pdistill.backends.remote.probe import unreachable_reason
from pdistill.backends.remote.sender import RetryingSender
from pdistill.backends.tinker import TinkerOptions, transport
from pdistill.backends.tinker.failures import ADDRESS_VARIABLE, clean, status_of, to_backend_error, verdict
from pdistill.core.errors import BackendError, nearest

POLL_SECONDS, CLOSE_SECONDS = 0.5, 5.0
"""Interval of the checks whether the service was given up, and the time limit for closing a session."""

ROUTINE_WARNING = "because of try_again"
"""Part of the warning that the client logs whenever a result takes a while."""

_answered: set[str] = set()
"""Addresses where a server has answered this process: from then on, outages are waited out for `patience` seconds."""


class Connection:
    """A session that is opened when it is first needed, and again if the service has dropped it."""

    def __init__(self, options: TinkerOptions) -> None:
        self.client = load_client()
        self.url = address(options)
        self.notices = Notices(clean)
        self.sender = RetryingSender(options.patience, options.timeout, self.notices)
        self._service: Any = None
        self._dropped: list[Any] = []
        self._lock = threading.Lock()

    def call(self, work: Callable[[], Any]) -> Any:
        """Return the result of a call of the client; if it returns a future, that one's result.

        Raises:
            BackendError: the call failed, or the service was given up.
        """
        try:
            return self.call_raw(work)
        except Exception as error:  # noqa: BLE001 - the client raises its own errors and plain ones
            raise to_backend_error(error, self.url) from None

    def call_raw(self, work: Callable[[], Any]) -> Any:
        """Return the same as `call`, but raise the client's own errors unless the service was given up."""
        future = run_blocking(lambda: _result(work()))
        while not wait([future], timeout=POLL_SECONDS).done:
            self._check()
        return future.result()

    async def result_of(self, future: Any) -> Any:
        """Return the result of one of the client's futures.

        Raises:
            BackendError: the service was given up; other errors are the client's own.
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
            BackendError: no key is set, or no session can be opened.
        """
        with self._lock:
            if self._service is None:
                transport.send_through(self.url, self.sender)
                self._service = self.client.ServiceClient(base_url=self.url, user_metadata={"made_by": "pdistill"})
            return self._service

    def reopen(self, dropped: Any) -> None:
        """Guarantee that the next session is a new one, not `dropped`."""
        with self._lock:
            if self._service is dropped:
                self._dropped.append(dropped)
                self._service = None

    def models(self) -> dict[str, Any]:
        """Return the models that the service serves, by name.

        Raises:
            BackendError: the service is not reachable, or refuses the key.
        """
        if self.url not in _answered:
            self._probe()
            _answered.add(self.url)
        transport.send_through(self.url, self.sender)
        try:
            capabilities = self.call_raw(lambda: self.client.RestClient(base_url=self.url).get_server_capabilities())
        except Exception as error:  # noqa: BLE001 - the client raises its own errors and plain ones
            if verdict(error) == "gone":
                raise BackendError(
                    f"the server at {self.url} is not a Tinker service ({status_of(error)}); set {ADDRESS_VARIABLE} to the "
                    "service's address"
                ) from None
            raise to_backend_error(error, self.url) from None
        return {model.model_name: model for model in capabilities.supported_models}

    def close(self, status: str) -> None:
        """Close the session, without waiting long."""
        for service in self._dropped:
            service.close("errored")
        if self._service is not None:
            try:
                self._service.close(status).result(CLOSE_SECONDS)
            except Exception as error:  # noqa: BLE001 - failing to close a session does no harm
                self.notices.warn("close", f"could not close the session at {self.url}: {type(error).__name__}")
        self._dropped, self._service = [], None

    def _probe(self) -> None:
        """Guarantee that an HTTP server answers at the address within 6 seconds."""
        reason = unreachable_reason(f"{self.url}/api/v1/healthz")
        if reason is not None:
            proxy = proxy_variable(self.url)
            through = f"it is asked through the proxy in {proxy}: check that, or unset it, " if proxy else ""
            raise BackendError(
                f"can't reach the Tinker service at {self.url}: {clean(reason).lower()}; {through}check the network, or set "
                f"{ADDRESS_VARIABLE} to its address"
            )

    def _check(self) -> None:
        last = transport.sender_for(f"{self.url}/")
        failure = self.sender.failure or (last.failure if last else None)
        if failure is not None:
            later = "run the command again later, or with a longer -B patience=SECONDS"
            advice = "fix that, and run the command again" if failure == transport.UNPAID else later
            raise BackendError(f"{failure} ({self.url}); everything done so far is saved, {advice}")


@contextmanager
def open_connection(options: TinkerOptions) -> Iterator[Connection]:
    """Yield a connection, which is closed at the end; meanwhile the client's log messages become notices."""
    check_environment()
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
    """Guarantee that the service serves a model, or with `trained` that it can train it.

    Raises:
        BackendError: it doesn't; suggests the model with the nearest name.
    """
    capability = "trainable" if trained else "sampleable"
    names = [name for name, served in models.items() if getattr(served, capability, None) is not False]
    if model not in names:
        verb = "train" if trained else "serve"
        near = nearest(model, names)
        raise BackendError(
            f"the Tinker service at {url} does not {verb} model '{model}'{near}{' ' if near else '; '}choose from "
            f"{', '.join(sorted(names))}"
        )


def address(options: TinkerOptions) -> str:
    """Return the service's address as the client will use it."""
    from tinker.lib.base_url import resolve_base_url

    return str(resolve_base_url(options.base_url))


def no_retries() -> Any:
    """Return client settings that turn off its own retries: whenever an answer is lost, it would pay for another, without limit."""
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
