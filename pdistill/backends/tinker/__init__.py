"""The Tinker backend: models that Thinking Machines' service runs and trains, by its own client."""

from dataclasses import dataclass

from pdistill.backends.packages import needing
from pdistill.backends.remote.address import check_base_url
from pdistill.core.contract.hookspecs import hookimpl
from pdistill.core.contract.interfaces import Backend
from pdistill.core.contract.optionfields import check_ranges, documented, option
from pdistill.core.contract.registry import Registry
from pdistill.core.errors import UsageError

NEEDED = ("transformers", "jinja2", "httpx", "tenacity")
HOUR, TEN_YEARS = 1 / 24, 3650.0
"""Days: the limits that the service sets to an expiry."""


@documented
@dataclass(frozen=True, slots=True)
class TinkerOptions:
    """The options that `-B key=value` sets. The key is not one of them: the client reads it from TINKER_API_KEY."""

    tokenizer: str | None = option(None, "Tokenizer: a directory or a hub name", default_text="the model's")
    thinking: bool = option(False, "Use the thinking mode of the model's chat template")
    train_attention: bool = option(True, "Whether LoRA students adapt the attention layers")
    train_mlp: bool = option(True, "Whether LoRA students adapt the MLP layers")
    train_output: bool = option(False, "Whether LoRA students adapt the output layer")
    base_url: str | None = option(
        None,
        "Address of the service",
        default_text="TINKER_BASE_URL, or the client's own",
        changes_rows=False,
        address_of=("TINKER_BASE_URL", "TINKER_API_KEY"),
    )
    window: int = option(256, "Concurrent requests", minimum=1, maximum=10_000, changes_rows=False)
    timeout: float = option(
        60.0, "Seconds until a request without an answer is sent again", above=0, maximum=10**7, changes_rows=False
    )
    patience: float = option(
        300.0, "Seconds of retries until the run stops", above=0, maximum=10**7, changes_rows=False
    )
    expire: float = option(30.0, "Days until the service may delete saved states; 0: never", changes_rows=False)
    base: str = option(
        "auto",
        "Weights of the base model to check the adapter with: a directory or a hub name; auto: the model's name, if it is on "
        "this machine and fits into memory; none: no check",
        changes_rows=False,
    )
    price_prompt: float | None = option(
        None,
        "USD per million input tokens",
        default_text="the published price",
        minimum=0,
        maximum=10**6,
        changes_rows=False,
    )
    price_sampled: float | None = option(
        None,
        "USD per million output tokens",
        default_text="the published price",
        minimum=0,
        maximum=10**6,
        changes_rows=False,
    )
    price_trained: float | None = option(
        None,
        "USD per million training tokens",
        default_text="the published price",
        minimum=0,
        maximum=10**6,
        changes_rows=False,
    )

    def __post_init__(self) -> None:
        """Check what needs no service.

        Raises:
            UsageError: a number is out of range, the address contains more than an address, or nothing would be trained.
        """
        check_ranges(self, "backend tinker")
        if self.expire and not HOUR <= self.expire <= TEN_YEARS:
            raise UsageError(
                f"invalid value {self.expire} for option expire of backend tinker: must be 0 or from {HOUR:.3f} (an hour) to "
                f"{TEN_YEARS:,.0f} days"
            )
        check_base_url(self.base_url, "tinker")
        if not (self.train_attention or self.train_mlp or self.train_output):
            raise UsageError(
                "options train_attention, train_mlp and train_output of backend tinker are all false; at least one must be true"
            )


def create(options: TinkerOptions) -> Backend:
    """Return the Tinker backend; sends no request to the service.

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
