"""Leads the client's requests through a gate: by itself it asks again without a pause where the service is broken.

The client makes its HTTP clients in many places and takes none from outside. So the one class that it makes them of is
replaced by one that looks up the gate of the address. A client without that class keeps its own ways.
"""

from importlib import import_module
from typing import Any

from pdistill.backends.remote.gate import Gate

UNGUARDED = ("telemetry", "session_heartbeat", "finish", "dynamic_config", "cancel_future")
"""Last parts of the paths of requests that the client sends by itself: whether they arrive is no matter of the run."""

UNPAID = "the service wants its bill settled (402)"
"""Why the service is given up then: the client by itself would wait for an hour."""

_gates: dict[str, Gate] = {}


def guard(url: str, gate: Gate) -> None:
    """Guarantee that what the client sends to this address goes through the gate: the last one that was named, for all."""
    client: Any = import_module("tinker._base_client")
    original: Any = getattr(client, "AsyncHttpxClientWrapper", None)
    if original is not None and not hasattr(original, "through_a_gate"):
        client.AsyncHttpxClientWrapper = _guarded(original)
    _gates[url] = gate


def gate_of(url: str) -> Gate | None:
    """Return the gate that a request to `url` goes through."""
    return next((gate for address, gate in _gates.items() if url.startswith(f"{address}/")), None)


def _guarded(original: Any) -> Any:
    async def send(self: Any, request: Any, **options: Any) -> Any:
        gate = gate_of(str(request.url))
        if gate is None:
            return await original.send(self, request, **options)
        unguarded = request.url.path.rpartition("/")[2] in UNGUARDED
        way = gate.listen if unguarded else gate.send
        response = await way(lambda: original.send(self, request, **options))
        if response.status_code == 402:
            gate.failure = UNPAID
        return response

    return type(original.__name__, (original,), {"send": send, "through_a_gate": True})
