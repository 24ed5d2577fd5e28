"""The openai backend: teachers behind any endpoint that speaks OpenAI's API, hosted or on this machine."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pdistill.backends.packages import needing
from pdistill.core.contract.hookspecs import hookimpl
from pdistill.core.contract.interfaces import Backend
from pdistill.core.contract.registry import Registry
from pdistill.core.errors import UsageError

NEEDED = ("openai", "httpx", "tenacity")
HARMLESS = {"changes_rows": False}
OWN = (
    "model", "messages", "prompt", "temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed", "n",
    "stream", "logprobs",
)  # fmt: skip
"""Fields of a request that have flags of their own, or that an answer is read by."""


@dataclass(frozen=True, slots=True)
class OpenAIOptions:
    """What `-B key=value` sets. The key is no option: it is read from OPENAI_API_KEY.

    Args:
        api: "auto" asks chat messages by chat completions and text by completions; "chat" asks text by chat completions
            too, as one user message.
        batch: whether the service's batch API is asked: answers within a day, for a lower price.
        extra: a JSON object of more fields of every request, such as '{"reasoning_effort": "low"}'.
        base_url: the service's address; none is OPENAI_BASE_URL, or else OpenAI's own.
        window: requests in flight.
        timeout: seconds after which a request without an answer is sent again.
        patience: seconds for which one request is tried again before the run stops.
        price_prompt: what a million tokens of prompts cost, in USD.
        price_sampled: what a million tokens of answers cost.
    """

    api: Literal["auto", "chat"] = "auto"
    batch: bool = field(default=False, metadata=HARMLESS)
    extra: str = "{}"
    base_url: str | None = field(default=None, metadata=HARMLESS)
    window: int = field(default=32, metadata=HARMLESS)
    timeout: float = field(default=300.0, metadata=HARMLESS)
    patience: float = field(default=600.0, metadata=HARMLESS)
    price_prompt: float | None = field(default=None, metadata=HARMLESS)
    price_sampled: float | None = field(default=None, metadata=HARMLESS)

    def __post_init__(self) -> None:
        """Check what needs no service.

        Raises:
            UsageError: a number is out of range, an address holds a password, or `extra` won't do.
        """
        for name in ("window", "timeout", "patience"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise UsageError(f"option {name} of backend openai: {value} won't do, it must be above 0")
        if self.base_url is not None and ("?" in self.base_url or "@" in self.base_url.partition("//")[2]):
            raise UsageError("option base_url of backend openai holds a name, a password or a query; leave it out")
        own = [key for key in self.more() if key in OWN]
        if own:
            raise UsageError(
                f"option extra of backend openai: '{own[0]}' is not for it; choose other fields than {', '.join(OWN)}"
            )

    def more(self) -> Mapping[str, Any]:
        """Return the fields of `extra`.

        Raises:
            UsageError: it is no JSON object.
        """
        try:
            found = json.loads(self.extra)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise UsageError(
                f"option extra of backend openai: {self.extra!r} is no JSON object; write it as "
                """'{"reasoning_effort": "low"}'"""
            )
        return found


def create(options: OpenAIOptions) -> Backend:
    """Return the openai backend; asks nothing of the service.

    Raises:
        BackendError: one of the packages that it needs is not installed.
    """
    with needing("openai", NEEDED):
        from pdistill.backends.openai.backend import OpenAIBackend
    return OpenAIBackend(options)


@hookimpl
def pdistill_register_backends(backends: Registry[Backend]) -> None:
    """Register the openai backend."""
    backends.register(
        "openai", create, options=OpenAIOptions, summary="teachers behind any endpoint that speaks OpenAI's API"
    )
