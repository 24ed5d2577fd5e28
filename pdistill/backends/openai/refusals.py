"""Tells what a service refuses for one query from what it refuses for all, and stops the run where it refuses too many."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

import openai

from pdistill.backends.openai.failures import detail, is_too_long
from pdistill.core.contract.sampling import Completion, Key
from pdistill.core.errors import BackendError, ContextError, RefusedError

MIN_REFUSED, MAX_SHARE = 10, 0.5
"""Number of refused queries at which the run may stop, and the fraction of all queries above which it does."""


class NoChoicesError(ValueError):
    """A response that contains no answer, with the service's words."""


Refusal = openai.APIStatusError | NoChoicesError


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one request: its completion, and the refusal where the service refused it."""

    completion: Completion
    refusal: Refusal | None = None


def refused(error: Refusal, prompt_tokens: int = 0, tokens: int = 0) -> Outcome:
    """Return the outcome of a request that the service refuses; the tokens are those that finding out cost."""
    status = f"{error.status_code}: " if isinstance(error, openai.APIStatusError) else ""
    return Outcome(Completion("", "error", prompt_tokens, tokens, f"{status}{detail(error)}"), error)


class Refusals:
    """Counts refused queries. None is passed on before the service has answered another one, so that none is stored by mistake.

    Args:
        url: the service's address.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._held: list[tuple[Key, Outcome]] = []
        self._refused = self._answered = 0

    def passed(self, key: Key, outcome: Outcome) -> Iterator[tuple[Key, Completion]]:
        """Yield the completions that may be stored.

        Raises:
            RefusedError: too many queries are refused.
            ContextError: so far all are, because they don't fit in the model's context.
        """
        if outcome.refusal is None:
            self._answered += 1
        else:
            self._refused += 1
            self._held.append((key, outcome))
            total = self._refused + self._answered
            if self._refused >= MIN_REFUSED and self._refused > MAX_SHARE * total:
                raise self.error(key, outcome)
        if self._answered:
            yield from self.held()
        if outcome.refusal is None:
            yield key, outcome.completion

    def held(self) -> Iterator[tuple[Key, Completion]]:
        """Yield the completions that were held back.

        Raises:
            ContextError: all of them are, and the service says that they don't fit in the model's context.
        """
        if self._held and not self._answered and _is_too_long(self._held[0][1]):
            self.check_answered()
        while self._held:
            key, outcome = self._held.pop(0)
            yield key, outcome.completion

    def check_answered(self) -> None:
        """Guarantee that not all queries were refused.

        Raises:
            RefusedError: all were.
            ContextError: all were, because they don't fit in the model's context.
        """
        if self._held:
            raise self.error(*self._held[0])

    def error(self, key: Key, outcome: Outcome) -> BackendError:
        """Return the error that stops the run, with the query that was refused last."""
        if outcome.refusal is not None and not self._answered and _is_too_long(outcome):
            return ContextError.told(key.number, detail(outcome.refusal))
        total = self._refused + self._answered
        many = f"{self._refused:,} of {total:,} queries" if self._answered else f"all {total:,} queries so far"
        return RefusedError(
            key.number,
            f"the service at {self._url} refuses {many}, such as ",
            f" ({outcome.completion.reason}); leave such queries out, change the prompt or -B teacher.extra, or choose another "
            "teacher",
        )


def _is_too_long(outcome: Outcome) -> bool:
    return isinstance(outcome.refusal, openai.APIStatusError) and is_too_long(outcome.refusal)


class Life:
    """Knows when a service last answered a question, and asks it where that is too long ago to tell."""

    def __init__(self) -> None:
        self.last: float | None = None
        """When it last answered, on the monotonic clock; None if it never has."""
        self._lock = asyncio.Lock()

    def sign(self) -> None:
        """Note that the service has answered."""
        self.last = time.monotonic()

    async def confirmed(self, since: float, ask: Callable[[], Awaitable[Completion]]) -> Completion | None:
        """Guarantee that the service has answered another question than the refused one since a time.

        Args:
            since: the time, on the monotonic clock.
            ask: asks a harmless question with the same parameters; raises if it is not answered.

        Returns:
            The answer to the harmless question, if it was asked.
        """
        async with self._lock:
            if self.last is not None and self.last > since:
                return None
            completion = await ask()
            self.sign()
        return completion
