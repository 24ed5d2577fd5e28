"""The limit of what a run may cost (`--max-cost`): what is spent and in flight, and whether one request more fits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from threading import Lock
from typing import Any

from pdistill.core.contract.interfaces import Renderer, prompt_tokens
from pdistill.core.contract.plugins import installed
from pdistill.core.contract.prices import Prices, Tokens, usd
from pdistill.core.contract.sampling import Completion, Key, Request, Sampling
from pdistill.core.errors import RunError, UsageError
from pdistill.core.money.cost import PRICES_LOG, by_role, money, stored_prices, tokens_spent, total
from pdistill.core.progress import Progress
from pdistill.core.setup.models import ROLES, Models, Role, role_options
from pdistill.core.store.rows import append_row, read_log
from pdistill.core.store.rundir import RunDirectory


class Budget:
    """What both sides have spent, what is in flight, and whether more fits; several threads may use it.

    Args:
        prices: of both sides; None where they are unknown.
        spent: tokens that were paid for before.
        limit: USD that spent and in flight together must not pass, or None.
    """

    def __init__(self, prices: Mapping[Role, Prices | None], spent: Mapping[Role, Tokens], limit: float | None) -> None:
        self.limit = limit
        self._prices = prices
        self._spent = {role: spent.get(role, Tokens()) for role in ROLES}
        self._in_flight = dict.fromkeys(ROLES, Tokens())
        self._lock = Lock()
        self._free = all(known is not None and known.free for known in prices.values())

    @property
    def spent(self) -> float | None:
        """USD spent, or None where a price is unknown."""
        return money(self._spent, self._prices)

    def reserve(self, role: Role, most: Tokens) -> bool:
        """Return whether so many tokens more can't pass the limit; they are in flight then."""
        if self.limit is None:
            return True
        with self._lock:
            flying = {**self._in_flight, role: self._in_flight[role] + most}
            together = money({side: self._spent[side] + flying[side] for side in ROLES}, self._prices)
            if together is None or together > self.limit:
                return False
            self._in_flight = flying
            return True

    def settle(self, role: Role, most: Tokens, used: Tokens) -> None:
        """Count `used` as spent, instead of the `most` that was in flight for it."""
        with self._lock:
            self._spent[role] += used
            if self.limit is not None:
                self._in_flight[role] -= most

    def note(self) -> str:
        """Return what was spent so far, for the progress display; empty where nothing costs money or it is unknown."""
        spent = None if self._free else self.spent
        return f"{usd(spent)} so far" if spent else ""

    def reached(self, role: Role, most: Tokens, what: str) -> RunError:
        """Return the error for a limit that `what` could pass."""
        spent, more = self.spent or 0.0, money({role: most}, self._prices) or 0.0
        return RunError(
            f"--max-cost {self.limit:g} stops here: {usd(spent)} is spent, and {what} could cost {usd(more)}; all that was "
            "done is kept; go on by the same command with a higher --max-cost, or without"
        )


@dataclass(slots=True)
class Meter:
    """Counts the requests and answers of one side's sampler in a budget."""

    budget: Budget
    role: Role
    renderer: Renderer | None
    _most: dict[Key, Tokens] = field(default_factory=dict)

    def admit(self, requests: Sequence[Request], sampling: Sampling) -> bool:
        """Return whether the requests, sent together, can't pass the limit; they are in flight then."""
        if self.budget.limit is None:
            return True
        each = {request.key: self._at_most(request, sampling) for request in requests}
        if not self.budget.reserve(self.role, total(each.values())):
            return False
        self._most |= each
        return True

    def answered(self, key: Key, completion: Completion) -> None:
        """Count an answer as paid for."""
        used = Tokens(completion.prompt_tokens, completion.tokens)
        self.budget.settle(self.role, self._most.pop(key, Tokens()), used)

    def refused(self, requests: Sequence[Request], sampling: Sampling) -> RunError:
        """Return the error for requests that were not admitted."""
        most = total(self._at_most(request, sampling) for request in requests)
        what = "the next request" if len(requests) == 1 else f"the next {len(requests):,} requests together"
        return self.budget.reached(self.role, most, what)

    def _at_most(self, request: Request, sampling: Sampling) -> Tokens:
        """Return what a request can come to; an empty first line is drawn a second time."""
        draws = 2 if sampling.stop_at_newline else 1
        return Tokens(draws * prompt_tokens(self.renderer, request.prompt), draws * sampling.max_tokens)


def open_budget(
    run: RunDirectory,
    models: Models,
    limit: float | None,
    given: Mapping[str, Any],
    progress: Progress,
    *asked: Role,
) -> Budget:
    """Return the budget of a stage that begins or goes on; notes prices that are new in prices.jsonl.

    Args:
        limit: USD that the run must not pass, with all its stages and interruptions, or None.
        given: the backend options that are given now.
        asked: the sides that the stage asks; with a limit, the prices of both are needed.

    Raises:
        UsageError: there is a limit, and the price of a side is unknown.
    """
    for role in asked if limit is None else ROLES:
        if not _known(run, role, models.name(role), given):
            _note(run, role, models)
    prices = stored_prices(run)
    if limit is not None:
        check_limit(prices, {role: models.name(role) for role in ROLES}, limit)
        if all(known is not None and known.free for known in prices.values()):
            progress.say(f"--max-cost {limit:g} limits nothing here: these models cost no money")
            limit = None
    priced = any(known is not None and not known.free for known in prices.values())
    return Budget(prices, by_role(tokens_spent(run)) if priced else {}, limit)


def check_limit(prices: Mapping[Role, Prices | None], names: Mapping[Role, str], limit: float | None) -> None:
    """Guarantee that a limit, if there is one, can be kept.

    Args:
        names: of both sides' models, as BACKEND:MODEL.

    Raises:
        UsageError: the price of a side is unknown.
    """
    if limit is None:
        return
    for role, known in prices.items():
        if known is None:
            options = " ".join(f"-B {role}.{name}=USD" for name in _price_options(names[role]))
            raise UsageError(
                f"--max-cost {limit:g} can't be kept: what {names[role]} costs is unknown; give {options} (USD per million "
                "tokens), or leave --max-cost out"
            )


def _price_options(model: str) -> list[str]:
    """Return the options that give the price of a model, named as BACKEND:MODEL."""
    entry = installed().backends[model.partition(":")[0]]
    return [item.name for item in fields(entry.options) if item.name.startswith("price_")]


def _known(run: RunDirectory, role: Role, name: str, given: Mapping[str, Any]) -> bool:
    """Return whether a side's prices were noted before and none is given anew: those that were given once hold on."""
    if any(key.startswith("price_") for key in role_options(given, role)):
        return False
    last = [row for row in read_log(run.path / PRICES_LOG) if row["side"] == role][-1:]
    return any(row["model"] == name and row["prices"] is not None for row in last)


def _note(run: RunDirectory, role: Role, models: Models) -> None:
    """Note the prices of a side where they are not what was noted last."""
    found = models.prices(role)
    row = {"side": role, "model": models.name(role), "prices": found.as_row() if found else None}
    before = [stored for stored in read_log(run.path / PRICES_LOG) if stored["side"] == role]
    if row not in before[-1:]:
        append_row(run.path / PRICES_LOG, row)
