"""The openai backend: teachers behind any endpoint with an OpenAI-compatible API, hosted or on this machine."""

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
RESERVED_FIELDS = (
    "model", "messages", "prompt", "temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed", "n",
    "stream", "logprobs",
)  # fmt: skip
"""Request fields that pdistill sets itself, or needs in order to parse the answer; `extra` must not set them."""


@dataclass(frozen=True, slots=True)
class OpenAIOptions:
    """The options that `-B key=value` sets. The API key is not an option: it is read from OPENAI_API_KEY.

    Args:
        api: "auto" sends chat messages to the chat completions endpoint and text to the completions endpoint; "chat"
            sends text to chat completions too, as one user message.
        batch: whether to use the service's batch API: answers within a day, at a lower price.
        extra: a JSON object of additional fields for every request, such as '{"reasoning_effort": "low"}'.
        base_url: the service's address (default: OPENAI_BASE_URL, or else OpenAI's own).
        window: maximum number of requests in flight.
        timeout: seconds after which a request without an answer is sent again.
        patience: seconds for which one request is retried before the run stops.
        price_prompt: price of a million prompt tokens, in USD.
        price_sampled: price of a million answer tokens, in USD.
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
        """Check everything that can be checked without the service.

        Raises:
            UsageError: a number is out of range, an address contains a password, or `extra` is not valid.
        """
        for name in ("window", "timeout", "patience"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise UsageError(f"invalid value {value} for option {name} of backend openai: it must be above 0")
        if self.base_url is not None and ("?" in self.base_url or "@" in self.base_url.partition("//")[2]):
            raise UsageError(
                "option base_url of backend openai contains a user name, a password or a query string; remove it"
            )
        reserved = [key for key in self.extra_fields() if key in RESERVED_FIELDS]
        if reserved:
            raise UsageError(
                f"option extra of backend openai must not set '{reserved[0]}'; pdistill itself sets or needs "
                f"{', '.join(RESERVED_FIELDS)}"
            )

    def extra_fields(self) -> Mapping[str, Any]:
        """Return the fields of `extra`.

        Raises:
            UsageError: it is not a JSON object.
        """
        try:
            fields = json.loads(self.extra)
        except ValueError:
            fields = None
        if not isinstance(fields, dict):
            raise UsageError(
                f"invalid value {self.extra!r} for option extra of backend openai: it must be a JSON object, such as "
                """'{"reasoning_effort": "low"}'"""
            )
        return fields


def create(options: OpenAIOptions) -> Backend:
    """Return the openai backend; sends no request to the service.

    Raises:
        BackendError: a package that it needs is not installed.
    """
    with needing("openai", NEEDED):
        from pdistill.backends.openai.backend import OpenAIBackend
    return OpenAIBackend(options)


@hookimpl
def pdistill_register_backends(backends: Registry[Backend]) -> None:
    """Register the openai backend."""
    backends.register(
        "openai", create, options=OpenAIOptions, summary="teachers behind any endpoint with an OpenAI-compatible API"
    )
