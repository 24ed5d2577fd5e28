from pathlib import Path

import pytest

from pdistill.core.contract.interfaces import Side, prompt_tokens
from pdistill.core.contract.prices import FREE, Prices, Tokens
from pdistill.core.contract.prompts import Message, Messages, Text
from pdistill.core.money.cost import (
    BreakEven,
    Counts,
    as_row,
    break_even,
    cost_of,
    money,
    stored_prices,
    tokens_spent,
)
from pdistill.core.store.rows import append_row, read_rows, write_rows
from tests.run_builder import STUDENT_TOKENS, TEACHER_TOKENS, build_run, outcomes

DEAR, CHEAP = Prices(10.0, 20.0, 30.0, "list"), Prices(1.0, 2.0, 3.0, "list")
COUNTS: Counts = {
    "generate": {"teacher": Tokens(1_000_000, 100_000)},
    "train": {"student": Tokens(trained=2_000_000)},
    "evaluate": {"teacher": Tokens(), "student": Tokens(300_000, 50_000)},
}


def test_each_side_is_paid_at_its_own_price() -> None:
    row = as_row(COUNTS, {"teacher": DEAR, "student": CHEAP})
    assert row["generate"] == {"prompt_tokens": 1_000_000, "sampled_tokens": 100_000, "usd": 12.0}
    assert row["train"] == {"sequence_tokens": 2_000_000, "usd": 6.0}
    assert row["evaluate"] == {"prompt_tokens": 300_000, "sampled_tokens": 50_000, "usd": 0.4}
    assert row["usd"] == 18.4
    assert row["prices"]["teacher"]["prompt"] == 10.0


def test_an_unknown_price_makes_only_what_it_concerns_unknown() -> None:
    row = as_row(COUNTS, {"teacher": DEAR, "student": None})
    assert (row["generate"]["usd"], row["train"]["usd"], row["usd"]) == (12.0, None, None)
    assert row["prices"]["student"] is None
    assert money({"teacher": Tokens(), "student": Tokens(1)}, {"teacher": None, "student": FREE}) == 0


def test_break_even_is_cost_by_what_a_call_saves() -> None:
    found = break_even(
        COUNTS, {"teacher": DEAR, "student": CHEAP}, calls=10, with_prompt=Tokens(7_000, 20), without=Tokens(500, 30)
    )
    saved = ((7_000 * 10 + 20 * 20) - (500 * 1 + 30 * 2)) / 1e6 / 10
    assert found.saved_usd_per_call == pytest.approx(saved)
    assert found.calls == -(-18.4 // saved)
    assert found.unit == "usd"


@pytest.mark.parametrize(("teacher", "saved"), [(FREE, 0.0), (None, None)])
def test_break_even_is_in_tokens_where_there_is_no_money_or_it_is_unknown(
    teacher: Prices | None, saved: float | None
) -> None:
    found = break_even(COUNTS, {"teacher": teacher, "student": FREE}, 10, Tokens(7_000, 20), Tokens(500, 30))
    tokens = 1_100_000 + 2_000_000 + 350_000
    assert found == BreakEven(saved, -(-tokens // 650), "tokens")


def test_a_call_that_saves_nothing_never_pays_back() -> None:
    dearer: dict[Side, Prices | None] = {"teacher": CHEAP, "student": DEAR}
    assert break_even(COUNTS, dearer, 10, Tokens(700), Tokens(500)).calls is None
    free: dict[Side, Prices | None] = {"teacher": FREE, "student": FREE}
    assert break_even(COUNTS, free, 10, Tokens(500), Tokens(500)).calls is None


def test_a_prompt_that_only_the_service_can_count_has_as_many_tokens_as_bytes_and_a_frame() -> None:
    assert prompt_tokens(None, Text("\N{SNOWMAN}ab")) == 5 + 64
    chat = Messages((Message("system", "abc"), Message("user", "\ud800")))
    assert prompt_tokens(None, chat) == 3 + 64 + 3 + 64


def test_the_tokens_of_a_run_are_counted_from_its_rows(tmp_path: Path) -> None:
    rows = outcomes(f"query {at}" for at in range(20))
    run = build_run(tmp_path / "run", rows)
    found = tokens_spent(run)
    assert found["generate"] == {"teacher": Tokens(20 * TEACHER_TOKENS, 20 * 2), "student": Tokens()}
    steps = list(run.metrics().rows())
    assert found["train"] == {"student": Tokens(trained=sum(row["sequence_tokens"] for row in steps))}
    assert found["evaluate"]["teacher"] == Tokens(4 * TEACHER_TOKENS, 4 * 2)
    # base and student without the prompt, base and student with it; the base's answers are the queries, of two words
    assert found["evaluate"]["student"] == Tokens(4 * 2 * (TEACHER_TOKENS + STUDENT_TOKENS), 4 * (3 * 2 + 3))


def test_reused_answers_are_not_paid_for_but_count_in_what_a_call_saves(tmp_path: Path) -> None:
    run = build_run(tmp_path / "run", outcomes(f"query {at}" for at in range(20)))
    path = run.predictions("teacher").path
    write_rows(path, [{**row, "reused": True} for row in read_rows(path)], run.seal)
    assert tokens_spent(run)["evaluate"]["teacher"] == Tokens()
    total = sum((tokens for sides in tokens_spent(run).values() for tokens in sides.values()), Tokens()).total
    assert cost_of(run, 4).break_even_calls == -(-total // (TEACHER_TOKENS - STUDENT_TOKENS))


def test_the_last_recorded_prices_count(tmp_path: Path) -> None:
    run = build_run(tmp_path / "run", outcomes(f"query {at}" for at in range(20)))
    assert stored_prices(run) == {"teacher": None, "student": None}
    assert cost_of(run, 4).usd is None
    for prices in (DEAR, CHEAP):
        append_row(run.path / "prices.jsonl", {"side": "teacher", "model": "fake:rule", "prices": prices.as_row()})
    append_row(run.path / "prices.jsonl", {"side": "student", "model": "fake:rule", "prices": None})
    assert stored_prices(run) == {"teacher": CHEAP, "student": None}
    assert cost_of(run, 4).generate.usd == pytest.approx(CHEAP.cost(Tokens(20 * TEACHER_TOKENS, 40)), abs=1e-6)
