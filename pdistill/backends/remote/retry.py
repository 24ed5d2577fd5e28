"""Tries again what failed: tenacity is set up only then, which costs as much time as a request that succeeds."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from tenacity import AsyncRetrying, retry_if_exception, retry_if_result

T = TypeVar("T")


async def retry(work: Callable[[], Awaitable[T]], worth: Callable[[Any], bool], **how: Any) -> T:
    """Return what `work` gives; its own errors pass through.

    Args:
        work: is called again where that is worth it.
        worth: says so of a result or of an error.
        how: when to pause and when to stop, as tenacity takes it.
    """
    try:
        first: Any = await work()
    except Exception as error:
        if not worth(error):
            raise
        first = error
    if not worth(first):
        result: T = first
        return result
    known = [first]

    async def attempt() -> Any:
        outcome = known.pop() if known else await work()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    retrying = AsyncRetrying(retry=retry_if_exception(worth) | retry_if_result(worth), **how)
    found: T = await retrying(attempt)
    return found
