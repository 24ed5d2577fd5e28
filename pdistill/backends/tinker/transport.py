"""Leads the client's requests through a gate: by itself it asks again without a pause where the service is broken.

The client makes its HTTP clients in many places and takes none from outside. So the one class that it makes them of is
replaced by one that looks up the gate of the address. A client without that class keeps its own ways.
"""

from importlib import import_module
from typing import Any

from pdistill.backends.remote.sender import RetryingSender

NOT_RETRIED = ("telemetry", "session_heartbeat", "finish", "dynamic_config", "cancel_future")
"""Last parts of the paths of requests that the client sends by itself: whether they arrive is no matter of the run."""

UNPAID = "the service wants its bill settled (402)"
"""Why the service is given up then: the client by itself would wait for an hour."""

_senders: dict[str, RetryingSender] = {}


def send_through(url: str, sender: RetryingSender) -> None:
    """Guarantee that what the client sends to this address goes through the gate: the last one that was named, for all."""
    client: Any = import_module("tinker._base_client")
    original: Any = getattr(client, "AsyncHttpxClientWrapper", None)
    if original is not None and not hasattr(original, "has_sender"):
        client.AsyncHttpxClientWrapper = _with_sender(original)
    _senders[url] = sender


def sender_for(url: str) -> RetryingSender | None:
    """Return the gate that a request to `url` goes through."""
    return next((sender for address, sender in _senders.items() if url.startswith(f"{address}/")), None)


def _with_sender(original: Any) -> Any:
    async def send(self: Any, request: Any, **options: Any) -> Any:
        sender = sender_for(str(request.url))
        if sender is None:
            return await original.send(self, request, **options)
        unguarded = request.url.path.rpartition("/")[2] in NOT_RETRIED
        way = sender.send_once if unguarded else sender.send
        response = await way(lambda: original.send(self, request, **options))
        if response.status_code == 402:
            sender.failure = UNPAID
        return response

    return type(original.__name__, (original,), {"send": send, "has_sender": True})
