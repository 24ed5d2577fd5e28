"""The cost of tokens: token counts, and prices that turn them into money."""

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from pdistill.core.errors import UsageError

MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Tokens:
    """Counts of the tokens that a model read as prompts, sampled as answers, and was trained on.

    Args:
        prompt: tokens of prompt and query.
        sampled: tokens of answers, including their end tokens.
        trained: tokens of the examples in training steps, whether or not the loss is computed on them.
    """

    prompt: int = 0
    sampled: int = 0
    trained: int = 0

    def __add__(self, other: "Tokens") -> "Tokens":
        return Tokens(self.prompt + other.prompt, self.sampled + other.sampled, self.trained + other.trained)

    def __sub__(self, other: "Tokens") -> "Tokens":
        return Tokens(self.prompt - other.prompt, self.sampled - other.sampled, self.trained - other.trained)

    @property
    def total(self) -> int:
        """All tokens."""
        return self.prompt + self.sampled + self.trained


@dataclass(frozen=True, slots=True)
class Prices:
    """The prices of one model's tokens, in USD per million tokens.

    Args:
        prompt: the price of tokens in prompts.
        sampled: the price of tokens in answers.
        trained: the price of tokens in the examples of training steps.
        source: where the prices come from.
        date: the date of the prices, as YYYY-MM-DD; empty where they do not change.
    """

    prompt: float
    sampled: float
    trained: float
    source: str
    date: str = ""

    @property
    def free(self) -> bool:
        """Whether no token costs anything."""
        return not (self.prompt or self.sampled or self.trained)

    def cost(self, tokens: Tokens) -> float:
        """Return the cost of tokens, in USD."""
        priced = tokens.prompt * self.prompt + tokens.sampled * self.sampled + tokens.trained * self.trained
        return priced / MILLION

    def as_row(self) -> dict[str, object]:
        """Return the prices as plain JSON values."""
        return asdict(self)


FREE = Prices(0.0, 0.0, 0.0, "no price a token")
"""The prices of a model that costs no money, such as one on this machine."""

GIVEN = "given as an option"


def given_prices(
    listed: Prices | None, *, prompt: float | None, sampled: float | None, trained: float | None
) -> Prices | None:
    """Return the listed prices, overridden by those that the user set; None where one of them is unknown.

    Raises:
        UsageError: a price is negative or not a finite number.
    """
    values = {"prompt": prompt, "sampled": sampled, "trained": trained}
    given: dict[str, Any] = {key: value for key, value in values.items() if value is not None}
    for key, value in given.items():
        if not 0 <= value < math.inf:
            raise UsageError(f"option price_{key}: {value} must be at least 0 and finite; give USD per million tokens")
    if given.keys() == values.keys():
        return Prices(**given, source=GIVEN)
    if listed is None or not given:
        return listed
    return replace(listed, **given, source=f"{listed.source}; {', '.join(given)} {GIVEN}")


def usd(amount: float) -> str:
    """Return an amount of money as text, such as "$12.34", "$0.0123" or "under $0.0001"."""
    if 0 < amount < 0.0001:
        return "under $0.0001"
    return f"${amount:,.2f}" if amount >= 1 or not amount else f"${amount:.4f}"
