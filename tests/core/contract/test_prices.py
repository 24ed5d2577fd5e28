import math

import pytest

from pdistill.core.contract.prices import FREE, Prices, Tokens, given_prices, usd
from pdistill.core.errors import UsageError

LISTED = Prices(1.0, 2.0, 3.0, "a list", "2026-01-31")


def test_each_kind_of_token_has_its_price() -> None:
    assert LISTED.cost(Tokens(prompt=1_000_000)) == 1
    assert LISTED.cost(Tokens(sampled=500_000)) == 1
    assert LISTED.cost(Tokens(trained=1)) == pytest.approx(3e-6)
    assert LISTED.cost(Tokens(7, 11, 13)) == pytest.approx((7 + 22 + 39) / 1e6)
    assert FREE.cost(Tokens(7, 11, 13)) == 0


def test_tokens_can_be_added_and_subtracted() -> None:
    assert Tokens(1, 2, 3) + Tokens(10, 20, 30) - Tokens(1, 1, 1) == Tokens(10, 21, 32)
    assert Tokens(1, 2, 3).total == 6


def test_free_is_not_unknown() -> None:
    assert FREE.free
    assert not LISTED.free
    assert not Prices(0.0, 0.0, 3.0, "").free
    nothing: dict[str, None] = {"prompt": None, "sampled": None, "trained": None}
    assert given_prices(None, **nothing) is None
    assert given_prices(FREE, **nothing) is FREE


def test_given_prices_replace_listed_ones() -> None:
    assert given_prices(LISTED, prompt=None, sampled=5.0, trained=None) == Prices(
        1.0, 5.0, 3.0, "a list; sampled given as an option", "2026-01-31"
    )
    assert given_prices(LISTED, prompt=0.0, sampled=0.0, trained=0.0) == Prices(0.0, 0.0, 0.0, "given as an option")
    assert given_prices(None, prompt=1.0, sampled=2.0, trained=None) is None
    assert given_prices(None, prompt=1.0, sampled=2.0, trained=3.0) == Prices(1.0, 2.0, 3.0, "given as an option")


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_a_price_that_is_none_is_refused(value: float) -> None:
    with pytest.raises(UsageError, match="option price_sampled: .* must be at least 0 and finite"):
        given_prices(LISTED, prompt=1.0, sampled=value, trained=None)


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0.0, "$0.00"), (0.00004, "under $0.0001"), (0.0123, "$0.0123"), (1.0, "$1.00"), (12345.678, "$12,345.68")],
)
def test_money_is_shown_with_the_digits_that_matter(amount: float, text: str) -> None:
    assert usd(amount) == text
