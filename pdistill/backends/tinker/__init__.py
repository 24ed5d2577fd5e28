"""The Tinker backend: models run and trained by Thinking Machines' service, through its own client."""

import math
from dataclasses import dataclass, field

from pdistill.backends.packages import needing
from pdistill.core.contract.hookspecs import hookimpl
from pdistill.core.contract.interfaces import Backend
from pdistill.core.contract.registry import Registry
from pdistill.core.errors import UsageError

NEEDED = ("transformers", "jinja2", "httpx", "tenacity")
HARMLESS = {"changes_rows": False}
HOUR, TEN_YEARS = 1 / 24, 3650.0
"""The shortest and the longest expiry that the service accepts, in days."""


@dataclass(frozen=True, slots=True)
class TinkerOptions:
    """The options that `-B key=value` sets. The API key is not an option: the client reads it from TINKER_API_KEY.

    Args:
        tokenizer: a folder or hub name (default: the model's own, by its name on the hub).
        thinking: whether the chat template turns on the model's thinking mode.
        train_attention: whether LoRA is applied to the attention layers; likewise `train_mlp` and `train_output`.
        base_url: the service's address (default: TINKER_BASE_URL, or else the client's own).
        window: maximum number of requests in flight.
        timeout: seconds after which a request without an answer is sent again.
        patience: seconds for which one request is retried before the run stops.
        expire: days after which the service may delete saved states; 0 means never.
        base: a folder or hub name of the base model's weights, to check the adapter with; "auto" uses the model's name
            if its weights are on this machine and fit in memory; "none" turns the check off.
        price_prompt: price of a million prompt tokens, in USD, instead of the published price.
        price_sampled: price of a million answer tokens, in USD.
        price_trained: price of a million trained tokens, in USD.
    """

    tokenizer: str | None = None
    thinking: bool = False
    train_attention: bool = True
    train_mlp: bool = True
    train_output: bool = False
    base_url: str | None = field(default=None, metadata=HARMLESS)
    window: int = field(default=256, metadata=HARMLESS)
    timeout: float = field(default=60.0, metadata=HARMLESS)
    patience: float = field(default=300.0, metadata=HARMLESS)
    expire: float = field(default=30.0, metadata=HARMLESS)
    base: str = field(default="auto", metadata=HARMLESS)
    price_prompt: float | None = field(default=None, metadata=HARMLESS)
    price_sampled: float | None = field(default=None, metadata=HARMLESS)
    price_trained: float | None = field(default=None, metadata=HARMLESS)

    def __post_init__(self) -> None:
        """Check everything that can be checked without the service.

        Raises:
            UsageError: a number is out of range, an address contains a password, or no layers would be trained.
        """
        for name in ("window", "timeout", "patience"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise UsageError(f"invalid value {value} for option {name} of backend tinker: it must be above 0")
        if self.expire and not HOUR <= self.expire <= TEN_YEARS:
            raise UsageError(
                f"invalid value {self.expire} for option expire of backend tinker: it must be 0, or from {HOUR:.3f} (an hour) to "
                f"{TEN_YEARS:,.0f} days"
            )
        if self.base_url is not None and "@" in self.base_url.partition("//")[2].partition("/")[0]:
            raise UsageError("option base_url of backend tinker contains a user name or a password; remove it")
        if not (self.train_attention or self.train_mlp or self.train_output):
            raise UsageError(
                "at least one of the options train_attention, train_mlp, train_output of backend tinker must be true"
            )


def create(options: TinkerOptions) -> Backend:
    """Return the Tinker backend; sends no request to the service.

    Raises:
        BackendError: a package that it needs is not installed.
    """
    with needing("tinker", NEEDED):
        from pdistill.backends.tinker.backend import TinkerBackend
    return TinkerBackend(options)


@hookimpl
def pdistill_register_backends(backends: Registry[Backend]) -> None:
    """Register the Tinker backend."""
    backends.register("tinker", create, options=TinkerOptions, summary="models that the Tinker service runs and trains")
