"""The spending limit of a run (`--max-cost`): what is spent and in flight, and whether another request fits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from threading import Lock

from pdistill.core.contract.interfaces import Renderer, Side, prompt_tokens
from pdistill.core.contract.plugins import installed
from pdistill.core.contract.prices import Prices, Tokens, usd
from pdistill.core.contract.sampling import Completion, Key, Request, Sampling
from pdistill.core.errors import RunError, UsageError
from pdistill.core.money.cost import PRICE, PRICES_LOG, by_side, money, stored_prices, tokens_spent, total
from pdistill.core.progress import Progress
from pdistill.core.setup.models import BackendOptions, Model, side_options
from pdistill.core.store.rows import append_row, read_log
from pdistill.core.store.rundir import RunDirectory


class Budget:
    """What the models have spent, what is in flight, and whether more fits; thread-safe.

    Args:
        prices: of each side whose model is used; None where they are unknown.
        spent: tokens that were paid for before.
        limit: the limit in USD for what is spent and in flight together, or None.
    """

    def __init__(self, prices: Mapping[Side, Prices | None], spent: Mapping[Side, Tokens], limit: float | None) -> None:
        self.limit = limit
        self._prices = prices
        self._spent = {side: spent.get(side, Tokens()) for side in prices}
        self._in_flight = dict.fromkeys(prices, Tokens())
        self._lock = Lock()
        self._free = all(known is not None and known.free for known in prices.values())

    @property
    def spent(self) -> float | None:
        """The USD spent, or None where a price is unknown."""
        return money(self._spent, self._prices)

    def reserve(self, side: Side, most: Tokens) -> bool:
        """Return whether these tokens fit into the limit; if so, they are in flight."""
        if self.limit is None:
            return True
        with self._lock:
            flying = {**self._in_flight, side: self._in_flight[side] + most}
            together = money({each: self._spent[each] + flying[each] for each in flying}, self._prices)
            if together is None or together > self.limit:
                return False
            self._in_flight = flying
            return True

    def charge(self, side: Side, most: Tokens, used: Tokens) -> None:
        """Count `used` as spent, in place of the `most` that was in flight for it."""
        with self._lock:
            self._spent[side] += used
            if self.limit is not None:
                self._in_flight[side] -= most

    def note(self) -> str:
        """Return what was spent so far, for the progress display; empty where that is nothing or unknown."""
        spent = None if self._free else self.spent
        return f"{usd(spent)} so far" if spent else ""

    def limit_error(self, side: Side, most: Tokens, what: str) -> RunError:
        """Return the error for `what`, which could exceed the limit."""
        spent, more = self.spent or 0.0, money({side: most}, self._prices) or 0.0
        return RunError(
            f"stopped by --max-cost {self.limit:g}: {usd(spent)} is spent, and {what} could cost {usd(more)}; everything "
            "done so far is saved; continue with the same command and a higher --max-cost, or none"
        )


@dataclass(slots=True)
class Meter:
    """Charges the requests and answers of one side's sampler to a budget."""

    budget: Budget
    side: Side
    renderer: Renderer | None
    _most: dict[Key, Tokens] = field(default_factory=dict)

    def admit(self, requests: Sequence[Request], sampling: Sampling) -> bool:
        """Return whether the requests, sent together, fit into the limit; if so, they are in flight."""
        if self.budget.limit is None:
            return True
        most = {request.key: self._at_most(request, sampling) for request in requests}
        if not self.budget.reserve(self.side, total(most.values())):
            return False
        self._most |= most
        return True

    def charge(self, key: Key, completion: Completion) -> None:
        """Count an answer as paid for."""
        used = Tokens(completion.prompt_tokens, completion.tokens)
        self.budget.charge(self.side, self._most.pop(key, Tokens()), used)

    def limit_error(self, requests: Sequence[Request], sampling: Sampling) -> RunError:
        """Return the error for requests that were not admitted."""
        most = total(self._at_most(request, sampling) for request in requests)
        what = "the next request" if len(requests) == 1 else f"the next {len(requests):,} requests together"
        return self.budget.limit_error(self.side, most, what)

    def _at_most(self, request: Request, sampling: Sampling) -> Tokens:
        """Return the most tokens that a request can take; where its first line is empty, it is sampled a second time."""
        draws = 2 if sampling.stop_at_newline else 1
        return Tokens(draws * prompt_tokens(self.renderer, request.prompt), draws * sampling.max_tokens)


def open_budget(
    run: RunDirectory,
    models: Mapping[Side, Model],
    limit: float | None,
    backend_options: BackendOptions,
    progress: Progress,
    *sides: Side,
) -> Budget:
    """Return the budget of a stage that starts or resumes; records new prices in prices.jsonl.

    Args:
        models: the models of the run.
        limit: the spending limit in USD for the whole run, across stages and restarts, or None.
        backend_options: the backend options that are given now.
        sides: the sides that the stage uses; with a limit, the prices of all are needed.

    Raises:
        UsageError: there is a limit, and the price of a side is unknown.
    """
    for side in sides if limit is None else models:
        if not _has_prices(run, side, models[side].id, backend_options):
            _record_prices(run, side, models[side])
    stored = stored_prices(run)
    prices = {side: stored[side] for side in models}
    if limit is not None:
        check_limit(prices, {side: model.id for side, model in models.items()}, limit)
        if all(known is not None and known.free for known in prices.values()):
            progress.say(f"--max-cost {limit:g} has no effect: these models cost no money")
            limit = None
    priced = any(known is not None and not known.free for known in prices.values())
    return Budget(prices, by_side(tokens_spent(run)) if priced else {}, limit)


def check_limit(prices: Mapping[Side, Prices | None], names: Mapping[Side, str], limit: float | None) -> None:
    """Guarantee that a limit, if there is one, can be enforced.

    Args:
        names: of the models, as BACKEND:MODEL, by side.

    Raises:
        UsageError: the price of a side is unknown.
    """
    if limit is None:
        return
    for side, known in prices.items():
        if known is None:
            options = " ".join(f"-B {side}.{name}=USD" for name in _price_options(names[side]))
            raise UsageError(
                f"--max-cost {limit:g} can't be enforced: the price of {names[side]} is unknown; give {options} (USD per "
                "million tokens), or leave --max-cost out"
            )


def _price_options(model: str) -> list[str]:
    """Return the options that set the prices of a model, which is given as BACKEND:MODEL."""
    entry = installed().backends[model.partition(":")[0]]
    return [item.name for item in fields(entry.options) if item.name.startswith("price_")]


def _has_prices(run: RunDirectory, side: Side, name: str, backend_options: BackendOptions) -> bool:
    """Return whether a side's prices are on record and none is given now: prices stay valid until others are given."""
    if any(key.startswith("price_") for key in side_options(backend_options, side)):
        return False
    last = [row for row in read_log(run.path / PRICES_LOG, PRICE) if row["side"] == side][-1:]
    return any(row["model"] == name and row["prices"] is not None for row in last)


def _record_prices(run: RunDirectory, side: Side, model: Model) -> None:
    """Record the prices of a side in prices.jsonl where they differ from the last record."""
    prices = model.prices()
    row = {"side": side, "model": model.id, "prices": prices.as_row() if prices else None}
    records = [stored for stored in read_log(run.path / PRICES_LOG, PRICE) if stored["side"] == side]
    if row not in records[-1:]:
        append_row(run.path / PRICES_LOG, row)
