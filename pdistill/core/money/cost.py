"""The cost of a run, counted from its rows, and its break-even."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pdistill.core.contract.interfaces import SIDES, Side
from pdistill.core.contract.prices import Prices, Tokens
from pdistill.core.money.repeated import repeated_tokens
from pdistill.core.store.rows import read_log
from pdistill.core.store.rundir import ARMS, PROBES, REMOTE_NOTE, RunDirectory

Stage = Literal["generate", "train", "evaluate"]
Counts = Mapping[Stage, Mapping[Side, Tokens]]

STAGES: tuple[Stage, ...] = ("generate", "train", "evaluate")
PRICES_LOG = "prices.jsonl"


def total(counts: Iterable[Tokens]) -> Tokens:
    """Return the sum of token counts."""
    return sum(counts, Tokens())


def money(tokens: Mapping[Side, Tokens], prices: Mapping[Side, Prices | None]) -> float | None:
    """Return the cost of the tokens of both sides, in USD; None where a side has tokens but no known price."""
    amount = 0.0
    for side, count in tokens.items():
        known = prices.get(side)
        if known is not None:
            amount += known.cost(count)
        elif count.total:
            return None
    return amount


def tokens_spent(run: RunDirectory) -> Counts:
    """Return the tokens paid for, by stage and side: stored rows, repeated training steps and the adapter's check.

    Reused answers are not counted.
    """
    note = run.read_json(f"adapter/{REMOTE_NOTE}")
    arms = {arm: _answer_tokens(run.predictions(arm).rows()) for arm in ARMS}
    teacher, base = (_answer_tokens(run.preflight(arm).rows()) for arm in ("teacher", "base"))
    probes = {
        arm: total(_answer_tokens(run.probe(probe, arm).rows()) for probe, arms in PROBES.items() if arm in arms)
        for arm in ("teacher", "base", "student")
    }
    responses = _answer_tokens(run.responses(1).rows())
    return {
        "generate": {"teacher": teacher + responses + probes.pop("teacher"), "student": base},
        "train": {
            "student": total(map(_step_tokens, run.metrics().rows())) + repeated_tokens(run) + check_tokens(note)
        },
        "evaluate": {"teacher": arms.pop("teacher"), "student": total([*arms.values(), *probes.values()])},
    }


def check_tokens(note: Mapping[str, Any] | None) -> Tokens:
    """Return the tokens that were sent to a service to check an adapter, from the note stored with the adapter."""
    prompt = note.get("prompt_tokens", 0) if note else 0
    return Tokens(prompt=prompt, sampled=note.get("examples", 0)) if note and prompt else Tokens()


def _step_tokens(row: Mapping[str, Any]) -> Tokens:
    return Tokens(trained=row["sequence_tokens"])


def _answer_tokens(rows: Iterable[Mapping[str, Any]], reused: bool = False) -> Tokens:
    """Return the tokens of answers; those of reused answers only with `reused`."""
    prompt = sampled = 0
    for row in rows:
        if reused or not row.get("reused"):
            prompt += row["prompt_tokens"]
            sampled += row["tokens"]
    return Tokens(prompt, sampled)


def by_side(counts: Counts) -> dict[Side, Tokens]:
    """Return the tokens of each side, summed over stages."""
    return {side: total(sides.get(side, Tokens()) for sides in counts.values()) for side in SIDES}


def stored_prices(run: RunDirectory) -> dict[Side, Prices | None]:
    """Return the last recorded prices of both sides; None where they are unknown or were never recorded."""
    rows = {row["side"]: row["prices"] for row in read_log(run.path / PRICES_LOG)}
    return {side: Prices(**rows[side]) if rows.get(side) else None for side in SIDES}


def cost_of(run: RunDirectory, calls: int) -> dict[str, Any]:
    """Return the cost of an evaluated run and its break-even, as in the report.

    Args:
        calls: the number of held-out queries.
    """
    counts, prices = tokens_spent(run), stored_prices(run)
    with_prompt, without = (_answer_tokens(run.predictions(arm).rows(), reused=True) for arm in ("teacher", "student"))
    return as_row(counts, prices) | break_even(counts, prices, calls, with_prompt, without)


def as_row(counts: Counts, prices: Mapping[Side, Prices | None]) -> dict[str, Any]:
    """Return tokens and money by stage and in total, as plain JSON values; money is null where it is unknown."""
    row: dict[str, Any] = {}
    for stage in STAGES:
        tokens = total(counts[stage].values())
        answers = {"prompt_tokens": tokens.prompt, "sampled_tokens": tokens.sampled}
        stage_tokens = {"sequence_tokens": tokens.trained} if stage == "train" else answers
        row[stage] = {**stage_tokens, "usd": _rounded(money(counts[stage], prices))}
    return {
        **row,
        "usd": _rounded(money(by_side(counts), prices)),
        "prices": {side: known.as_row() if known else None for side, known in prices.items()},
    }


def break_even(
    counts: Counts, prices: Mapping[Side, Prices | None], calls: int, with_prompt: Tokens, without: Tokens
) -> dict[str, Any]:
    """Return the saving per call, and the number of calls after which the run pays for itself, rounded up.

    Break-even is the cost of the run divided by the saving per call: in money, or, where that is zero or unknown, all of
    the run's tokens divided by the prompt tokens saved per call. It is null where a call saves nothing.

    Args:
        calls: the number of calls in the next two counts.
        with_prompt: tokens of the teacher with the prompt.
        without: tokens of the student without it.
    """
    spent, tokens = money(by_side(counts), prices), total(by_side(counts).values())
    before, after = money({"teacher": with_prompt}, prices), money({"student": without}, prices)
    saving = None if before is None or after is None else (before - after) / calls
    if spent and saving is not None:
        cost, gain, unit = spent, saving, "usd"
    else:
        cost, gain, unit = tokens.total, (with_prompt.prompt - without.prompt) / calls, "tokens"
    return {
        "saved_usd_per_call": None if saving is None else float(f"{saving:.6g}"),
        "break_even_calls": math.ceil(cost / gain) if gain > 0 else None,
        "break_even_in": unit,
    }


def _rounded(amount: float | None) -> float | None:
    return None if amount is None else round(amount, 6)
