"""Sends the client's requests through a RetryingSender: the client itself retries some failures without a pause.

The client creates its HTTP clients in many places and accepts none from outside. So the one class that it creates them
from is replaced by one that looks up the sender for the address. A client without that class retries in its own way.
"""

from importlib import import_module
from typing import Any

from pdistill.backends.remote.sender import RetryingSender

NOT_RETRIED = ("telemetry", "session_heartbeat", "finish", "dynamic_config", "cancel_future")
"""Last path segments of requests that the client sends on its own, and whose failure does not affect the run."""

UNPAID = "the account has no credit or an unpaid bill (402)"
"""Why the service is given up at once: the client itself would keep retrying for an hour."""

_senders: dict[str, RetryingSender] = {}


def send_through(url: str, sender: RetryingSender) -> None:
    """Guarantee that the client sends all requests to this address through the sender, in place of an earlier one."""
    client: Any = import_module("tinker._base_client")
    original: Any = getattr(client, "AsyncHttpxClientWrapper", None)
    if original is not None and not hasattr(original, "has_sender"):
        client.AsyncHttpxClientWrapper = _with_sender(original)
    _senders[url] = sender


def sender_for(url: str) -> RetryingSender | None:
    """Return the sender for requests to `url`."""
    return next((sender for address, sender in _senders.items() if url.startswith(f"{address}/")), None)


def _with_sender(original: Any) -> Any:
    async def send(self: Any, request: Any, **options: Any) -> Any:
        sender = sender_for(str(request.url))
        if sender is None:
            return await original.send(self, request, **options)
        background = request.url.path.rpartition("/")[2] in NOT_RETRIED
        send_with = sender.send_once if background else sender.send
        response = await send_with(lambda: original.send(self, request, **options))
        if response.status_code == 402:
            sender.failure = UNPAID
        return response

    return type(original.__name__, (original,), {"send": send, "has_sender": True})
