"""The Tinker backend: models that Thinking Machines' service runs and trains, by its own client."""

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
"""Days: the limits that the service sets to an expiry."""


@dataclass(frozen=True, slots=True)
class TinkerOptions:
    """What `-B key=value` sets. The key is no option: the client reads it from TINKER_API_KEY.

    Args:
        tokenizer: a folder or hub name; none is the model's own, by its name on the hub.
        thinking: whether the chat template is asked for the model's thinking mode.
        train_attention: whether LoRA students change the attention layers; likewise `train_mlp` and `train_output`.
        base_url: the service's address; none is TINKER_BASE_URL, or else the client's own.
        window: requests in flight.
        timeout: seconds after which a request without an answer is sent again.
        patience: seconds for which one request is tried again before the run stops.
        expire: days after which the service may drop saved states; 0 is never.
        base: a folder or hub name of the base model's weights, to check the adapter with; "auto" is the model's name,
            where this machine has it already and the memory for it; "none" checks nothing.
        price_prompt: what a million tokens of prompts cost, in USD, instead of the published price.
        price_sampled: what a million tokens of answers cost.
        price_trained: what a million tokens of training examples cost.
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
        """Check what needs no service.

        Raises:
            UsageError: a number is out of range, an address holds a password, or nothing would be trained.
        """
        for name in ("window", "timeout", "patience"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise UsageError(f"option {name} of backend tinker: {value} won't do, it must be above 0")
        if self.expire and not HOUR <= self.expire <= TEN_YEARS:
            raise UsageError(
                f"option expire of backend tinker: {self.expire} won't do, it must be 0 or from {HOUR:.3f} (an hour) to "
                f"{TEN_YEARS:,.0f} days"
            )
        if self.base_url is not None and "@" in self.base_url.partition("//")[2].partition("/")[0]:
            raise UsageError("option base_url of backend tinker holds a name or a password; leave it out")
        if not (self.train_attention or self.train_mlp or self.train_output):
            raise UsageError("options train_attention, train_mlp, train_output of backend tinker: one must be true")


def create(options: TinkerOptions) -> Backend:
    """Return the Tinker backend; asks nothing of the service.

    Raises:
        BackendError: one of the packages that it needs is not installed.
    """
    with needing("tinker", NEEDED):
        from pdistill.backends.tinker.backend import TinkerBackend
    return TinkerBackend(options)


@hookimpl
def pdistill_register_backends(backends: Registry[Backend]) -> None:
    """Register the Tinker backend."""
    backends.register("tinker", create, options=TinkerOptions, summary="models that the Tinker service runs and trains")
