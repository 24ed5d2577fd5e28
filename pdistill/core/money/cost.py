"""What a run has cost, counted from its rows, and when that is paid back."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pdistill.core.contract.interfaces import SIDES, Side
from pdistill.core.contract.prices import Prices, Tokens
from pdistill.core.money.repeated import repeated
from pdistill.core.store.rows import read_log
from pdistill.core.store.rundir import ARMS, PROBES, REMOTE_NOTE, RunDirectory

Stage = Literal["generate", "train", "evaluate"]
Counts = Mapping[Stage, Mapping[Side, Tokens]]

STAGES: tuple[Stage, ...] = ("generate", "train", "evaluate")
PRICES_LOG = "prices.jsonl"


def total(counts: Iterable[Tokens]) -> Tokens:
    """Return the sum of counts."""
    return sum(counts, Tokens())


def money(tokens: Mapping[Side, Tokens], prices: Mapping[Side, Prices | None]) -> float | None:
    """Return what the tokens of both sides cost, in USD; None where the price of a side that has some is unknown."""
    amount = 0.0
    for side, count in tokens.items():
        known = prices.get(side)
        if known is not None:
            amount += known.cost(count)
        elif count.total:
            return None
    return amount


def tokens_spent(run: RunDirectory) -> Counts:
    """Return the tokens of the rows that are stored, of steps that were trained twice and of the adapter's check.

    They are given by stage and side; reused answers were not paid for.
    """
    note = run.read_json(f"adapter/{REMOTE_NOTE}")
    arms = {arm: _of_answers(run.predictions(arm).rows()) for arm in ARMS}
    teacher, base = (_of_answers(run.preflight(arm).rows()) for arm in ("teacher", "base"))
    probed = {
        arm: total(_of_answers(run.probe(probe, arm).rows()) for probe, arms in PROBES.items() if arm in arms)
        for arm in ("teacher", "base", "student")
    }
    taught = _of_answers(run.responses(1).rows())
    return {
        "generate": {"teacher": teacher + taught + probed.pop("teacher"), "student": base},
        "train": {"student": total(map(_of_step, run.metrics().rows())) + repeated(run) + of_check(note)},
        "evaluate": {"teacher": arms.pop("teacher"), "student": total([*arms.values(), *probed.values()])},
    }


def of_check(note: Mapping[str, Any] | None) -> Tokens:
    """Return the tokens that a service was asked with to check an adapter, by the note beside it."""
    asked = note.get("prompt_tokens", 0) if note else 0
    return Tokens(prompt=asked, sampled=note.get("examples", 0)) if note and asked else Tokens()


def _of_step(row: Mapping[str, Any]) -> Tokens:
    return Tokens(trained=row["sequence_tokens"])


def _of_answers(rows: Iterable[Mapping[str, Any]], reused: bool = False) -> Tokens:
    """Return the tokens of answers; of those that were reused too, where they are asked for."""
    prompt = sampled = 0
    for row in rows:
        if reused or not row.get("reused"):
            prompt += row["prompt_tokens"]
            sampled += row["tokens"]
    return Tokens(prompt, sampled)


def by_side(counts: Counts) -> dict[Side, Tokens]:
    """Return the tokens of each side, of all stages."""
    return {side: total(sides.get(side, Tokens()) for sides in counts.values()) for side in SIDES}


def stored_prices(run: RunDirectory) -> dict[Side, Prices | None]:
    """Return the prices of both sides as they were last looked up; None where they are unknown or never were."""
    rows = {row["side"]: row["prices"] for row in read_log(run.path / PRICES_LOG)}
    return {side: Prices(**rows[side]) if rows.get(side) else None for side in SIDES}


def cost_of(run: RunDirectory, calls: int) -> dict[str, Any]:
    """Return what a run that is evaluated has cost, and when that is paid back, as the report holds it.

    Args:
        calls: the held-out queries.
    """
    counts, prices = tokens_spent(run), stored_prices(run)
    with_prompt, without = (_of_answers(run.predictions(arm).rows(), reused=True) for arm in ("teacher", "student"))
    return as_row(counts, prices) | paid_back(counts, prices, calls, with_prompt, without)


def as_row(counts: Counts, prices: Mapping[Side, Prices | None]) -> dict[str, Any]:
    """Return tokens and money of each stage, and of all, as plain JSON values; money is null where it is unknown."""
    row: dict[str, Any] = {}
    for stage in STAGES:
        tokens = total(counts[stage].values())
        asked = {"prompt_tokens": tokens.prompt, "sampled_tokens": tokens.sampled}
        counted = {"sequence_tokens": tokens.trained} if stage == "train" else asked
        row[stage] = {**counted, "usd": _rounded(money(counts[stage], prices))}
    return {
        **row,
        "usd": _rounded(money(by_side(counts), prices)),
        "prices": {side: known.as_row() if known else None for side, known in prices.items()},
    }


def paid_back(
    counts: Counts, prices: Mapping[Side, Prices | None], calls: int, with_prompt: Tokens, without: Tokens
) -> dict[str, Any]:
    """Return what a call saves, and after how many calls the run has paid for itself, rounded up.

    Break-even is what the run cost by what a call saves: in money, or, where there is no money or it is unknown, all of
    the run's tokens by the tokens of the prompt that a call saves. It is null where a call saves nothing.

    Args:
        calls: how many calls the next two counts are of.
        with_prompt: tokens of the teacher under the prompt.
        without: tokens of the student without it.
    """
    spent, tokens = money(by_side(counts), prices), total(by_side(counts).values())
    before, after = money({"teacher": with_prompt}, prices), money({"student": without}, prices)
    saved = None if before is None or after is None else (before - after) / calls
    if spent and saved is not None:
        cost, gain, unit = spent, saved, "usd"
    else:
        cost, gain, unit = tokens.total, (with_prompt.prompt - without.prompt) / calls, "tokens"
    return {
        "saved_usd_per_call": None if saved is None else float(f"{saved:.6g}"),
        "break_even_calls": math.ceil(cost / gain) if gain > 0 else None,
        "break_even_in": unit,
    }


def _rounded(amount: float | None) -> float | None:
    return None if amount is None else round(amount, 6)
