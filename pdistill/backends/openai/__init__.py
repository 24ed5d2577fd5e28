"""The openai backend: teachers behind any endpoint that speaks OpenAI's API, hosted or on this machine."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pdistill.backends.packages import needing
from pdistill.backends.remote.address import check_base_url
from pdistill.core.contract.hookspecs import hookimpl
from pdistill.core.contract.interfaces import Backend
from pdistill.core.contract.optionfields import check_ranges, documented, option
from pdistill.core.contract.registry import Registry
from pdistill.core.errors import UsageError

NEEDED = ("openai", "httpx", "tenacity")
RESERVED_FIELDS = (
    "model", "messages", "prompt", "temperature", "top_p", "max_tokens", "max_completion_tokens", "stop", "seed", "n",
    "stream", "logprobs",
)  # fmt: skip
"""Fields of a request that have flags of their own, or that reading the answer depends on."""


@documented
@dataclass(frozen=True, slots=True)
class OpenAIOptions:
    """The options that `-B key=value` sets. The key is not one of them: it is read from OPENAI_API_KEY."""

    api: Literal["auto", "chat"] = option(
        "auto", "Endpoint for text prompts: completions, or with chat, chat completions with one user message"
    )
    batch: bool = option(False, "Use the batch API: answers within a day, at a lower price", changes_rows=False)
    extra: str = option(
        "{}", """JSON object with more fields for every request, such as '{"reasoning_effort": "low"}'"""
    )
    base_url: str | None = option(
        None,
        "Address of the service",
        default_text="OPENAI_BASE_URL, or OpenAI's own",
        changes_rows=False,
        address_of=("OPENAI_BASE_URL", "OPENAI_API_KEY"),
    )
    window: int = option(32, "Concurrent requests", minimum=1, maximum=10_000, changes_rows=False)
    timeout: float = option(
        300.0, "Seconds until a request without an answer is sent again", above=0, maximum=10**7, changes_rows=False
    )
    patience: float = option(
        600.0, "Seconds of retries until the run stops", above=0, maximum=10**7, changes_rows=False
    )
    price_prompt: float | None = option(
        None, "USD per million input tokens", minimum=0, maximum=10**6, changes_rows=False
    )
    price_sampled: float | None = option(
        None, "USD per million output tokens", minimum=0, maximum=10**6, changes_rows=False
    )

    def __post_init__(self) -> None:
        """Check what needs no service.

        Raises:
            UsageError: a number is out of range, the address contains more than an address, or `extra` is invalid.
        """
        check_ranges(self, "backend openai")
        check_base_url(self.base_url, "openai")
        own = [key for key in self.extra_fields() if key in RESERVED_FIELDS]
        if own:
            raise UsageError(
                f"option extra of backend openai can't set '{own[0]}'; reserved fields are {', '.join(RESERVED_FIELDS)}"
            )

    def extra_fields(self) -> Mapping[str, Any]:
        """Return the fields of `extra`.

        Raises:
            UsageError: it is not a JSON object.
        """
        try:
            found = json.loads(self.extra)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise UsageError(
                f"invalid value {self.extra!r} for option extra of backend openai: it is not a JSON object; write it as "
                """'{"reasoning_effort": "low"}'"""
            )
        return found


def create(options: OpenAIOptions) -> Backend:
    """Return the openai backend; sends no request to the service.

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
