import re

import pytest

from pdistill.backends.tinker.prices import DATE, LISTED, SOURCE, listed_prices
from pdistill.core.contract.prices import Prices


def test_a_listed_model_has_its_three_prices_with_source_and_date() -> None:
    assert listed_prices("Qwen/Qwen3-8B") == Prices(0.195, 0.60, 0.44, SOURCE, DATE)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", DATE)
    assert SOURCE.startswith("https://")


@pytest.mark.parametrize("model", ["Qwen/Qwen3-30B-A3B", "qwen/qwen3-8b", ""])
def test_a_model_that_is_not_listed_has_an_unknown_price(model: str) -> None:
    assert listed_prices(model) is None


@pytest.mark.parametrize("model", LISTED)
def test_an_answer_costs_more_than_a_prompt(model: str) -> None:
    prompt, sampled, trained = LISTED[model]
    assert 0 < prompt < sampled < 20
    assert prompt < trained < 20
