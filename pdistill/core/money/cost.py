"""What a run has cost, counted from its rows, and after how many calls it has paid for itself."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from types import NoneType
from typing import Literal

from pdistill.core.contract.interfaces import SIDES, Side
from pdistill.core.contract.jsontext import JsonObject, Keys, Row
from pdistill.core.contract.prices import Prices, Tokens
from pdistill.core.errors import RunError
from pdistill.core.money.repeated import repeated_tokens
from pdistill.core.numerics.estimates import Amount, Count
from pdistill.core.store.rows import read_log
from pdistill.core.store.rundir import ARMS, PROBES, REMOTE_NOTE, RunDirectory

Stage = Literal["generate", "train", "evaluate"]
Counts = Mapping[Stage, Mapping[Side, Tokens]]

STAGES: tuple[Stage, ...] = ("generate", "train", "evaluate")
PRICES_LOG = "prices.jsonl"
PRICE: Keys = {"side": str, "model": str, "prices": (dict, NoneType)}


@dataclass(frozen=True, slots=True)
class SamplingCost:
    """Tokens and money of a stage that samples."""

    prompt_tokens: Count
    sampled_tokens: Count
    usd: Amount | None


@dataclass(frozen=True, slots=True)
class TrainingCost:
    """Tokens and money of training."""

    sequence_tokens: Count
    usd: Amount | None


@dataclass(frozen=True, slots=True)
class TokenPrices:
    """USD per million tokens."""

    prompt: Amount
    sampled: Amount
    trained: Amount
    source: str
    date: str


@dataclass(frozen=True, slots=True)
class SidePrices:
    """By side; null if the price is unknown."""

    teacher: TokenPrices | None
    student: TokenPrices | None


@dataclass(frozen=True, slots=True)
class StageCosts:
    """Tokens and money of each stage, and money of all; money is null if a price that it needs is unknown."""

    generate: SamplingCost
    train: TrainingCost
    evaluate: SamplingCost
    usd: Amount | None
    prices: SidePrices


@dataclass(frozen=True, slots=True)
class BreakEven:
    """What a call saves, and after how many calls the run has paid for itself; null if a call saves nothing."""

    saved_usd_per_call: float | None
    calls: int | None
    unit: Literal["usd", "tokens"]


@dataclass(frozen=True, slots=True)
class Cost(StageCosts):
    """The cost of the run, and its break-even point."""

    saved_usd_per_call: float | None
    break_even_calls: Count | None
    break_even_in: Literal["usd", "tokens"]


def total(counts: Iterable[Tokens]) -> Tokens:
    """Return the sum of counts."""
    return sum(counts, Tokens())


def money(tokens: Mapping[Side, Tokens], prices: Mapping[Side, Prices | None]) -> float | None:
    """Return what the tokens of both sides cost, in USD; None if the price of a side that has some is unknown."""
    amount = 0.0
    for side, count in tokens.items():
        known = prices.get(side)
        if known is not None:
            amount += known.cost(count)
        elif count.total:
            return None
    return amount


def tokens_spent(run: RunDirectory) -> Counts:
    """Return the tokens of the stored rows, of steps that were trained twice and of the adapter's check.

    They are given by stage and side; reused answers were not paid for.
    """
    note = run.read_json(f"adapter/{REMOTE_NOTE}")
    arms = {arm: _answer_tokens(run.predictions(arm).rows()) for arm in ARMS}
    teacher, base = (_answer_tokens(run.preflight(arm).rows()) for arm in ("teacher", "base"))
    probed = {
        arm: total(_answer_tokens(run.probe(probe, arm).rows()) for probe, arms in PROBES.items() if arm in arms)
        for arm in ("teacher", "base", "student")
    }
    taught = _answer_tokens(run.responses(1).rows())
    return {
        "generate": {"teacher": teacher + taught + probed.pop("teacher"), "student": base},
        "train": {
            "student": total(map(_step_tokens, run.metrics().rows())) + repeated_tokens(run) + check_tokens(note)
        },
        "evaluate": {"teacher": arms.pop("teacher"), "student": total([*arms.values(), *probed.values()])},
    }


def check_tokens(note: Row | None) -> Tokens:
    """Return the tokens that were sent to a service to check an adapter, from the note beside it."""
    asked = note.get("prompt_tokens", 0) if note else 0
    return Tokens(prompt=asked, sampled=note.get("examples", 0)) if note and asked else Tokens()


def _step_tokens(row: Row) -> Tokens:
    return Tokens(trained=row["sequence_tokens"])


def _answer_tokens(rows: Iterable[Row], reused: bool = False) -> Tokens:
    """Return the tokens of answers, with or without those that were reused."""
    prompt = sampled = 0
    for row in rows:
        if reused or not row.get("reused"):
            prompt += row["prompt_tokens"]
            sampled += row["tokens"]
    return Tokens(prompt, sampled)


def by_side(counts: Counts) -> dict[Side, Tokens]:
    """Return the tokens of each side, summed over the stages."""
    return {side: total(sides.get(side, Tokens()) for sides in counts.values()) for side in SIDES}


def stored_prices(run: RunDirectory) -> dict[Side, Prices | None]:
    """Return the prices of both sides as they were last looked up; None if they are unknown or were never looked up.

    Raises:
        RunError: their file was edited or damaged.
    """
    rows = {row["side"]: row["prices"] for row in read_log(run.path / PRICES_LOG, PRICE)}
    try:
        return {side: Prices(**rows[side]) if rows.get(side) else None for side in SIDES}
    except TypeError as error:
        raise RunError(f"'{run.path / PRICES_LOG}' was edited or damaged ({error}); restore it, or remove it") from None


def cost_of(run: RunDirectory, calls: int) -> Cost:
    """Return the cost of an evaluated run, and its break-even point.

    Args:
        calls: the held-out queries.
    """
    counts, prices = tokens_spent(run), stored_prices(run)
    with_prompt, without = (_answer_tokens(run.predictions(arm).rows(), reused=True) for arm in ("teacher", "student"))
    costs, even = stage_costs(counts, prices), break_even(counts, prices, calls, with_prompt, without)
    return Cost(
        generate=costs.generate,
        train=costs.train,
        evaluate=costs.evaluate,
        usd=costs.usd,
        prices=costs.prices,
        saved_usd_per_call=even.saved_usd_per_call,
        break_even_calls=even.calls,
        break_even_in=even.unit,
    )


def as_row(counts: Counts, prices: Mapping[Side, Prices | None]) -> JsonObject:
    """Return the costs of the stages as plain JSON values."""
    return asdict(stage_costs(counts, prices))


def stage_costs(counts: Counts, prices: Mapping[Side, Prices | None]) -> StageCosts:
    """Return the costs of the stages, and of all of them."""
    tokens = {stage: total(counts[stage].values()) for stage in STAGES}
    usd = {stage: _rounded(money(counts[stage], prices)) for stage in STAGES}
    return StageCosts(
        generate=SamplingCost(tokens["generate"].prompt, tokens["generate"].sampled, usd["generate"]),
        train=TrainingCost(tokens["train"].trained, usd["train"]),
        evaluate=SamplingCost(tokens["evaluate"].prompt, tokens["evaluate"].sampled, usd["evaluate"]),
        usd=_rounded(money(by_side(counts), prices)),
        prices=SidePrices(teacher=_token_prices(prices["teacher"]), student=_token_prices(prices["student"])),
    )


def _token_prices(prices: Prices | None) -> TokenPrices | None:
    if prices is None:
        return None
    return TokenPrices(prices.prompt, prices.sampled, prices.trained, prices.source, prices.date)


def break_even(
    counts: Counts, prices: Mapping[Side, Prices | None], calls: int, with_prompt: Tokens, without: Tokens
) -> BreakEven:
    """Return the break-even point: the cost of the run divided by what a call saves, rounded up.

    It is computed in money, or, if the run cost no money or a price is unknown, as all tokens of the run divided by the
    input tokens that a call saves.

    Args:
        calls: the number of calls in the next two counts.
        with_prompt: tokens of the teacher with the prompt.
        without: tokens of the student without it.
    """
    spent, tokens = money(by_side(counts), prices), total(by_side(counts).values())
    before, after = money({"teacher": with_prompt}, prices), money({"student": without}, prices)
    saved = None if before is None or after is None else (before - after) / calls
    unit: Literal["usd", "tokens"]
    if spent and saved is not None:
        cost, gain, unit = spent, saved, "usd"
    else:
        cost, gain, unit = tokens.total, (with_prompt.prompt - without.prompt) / calls, "tokens"
    saved_usd = None if saved is None else float(f"{saved:.6g}")
    return BreakEven(saved_usd, math.ceil(cost / gain) if gain > 0 else None, unit)


def _rounded(amount: float | None) -> float | None:
    return None if amount is None else round(amount, 6)
