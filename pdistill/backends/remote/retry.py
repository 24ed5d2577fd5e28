"""Retries with tenacity, which is set up only after a failure: setting it up takes as long as a successful request."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from tenacity import AsyncRetrying, retry_if_exception, retry_if_result

T = TypeVar("T")


async def retry(work: Callable[[], Awaitable[T]], should_retry: Callable[[Any], bool], **options: Any) -> T:
    """Return the result of `work`; errors that are not retried are raised as they are.

    Args:
        work: called until its result or error is not to be retried, or until tenacity stops.
        should_retry: whether a result or an error is to be retried.
        options: tenacity's options, such as `wait` and `stop`.
    """
    try:
        first: Any = await work()
    except Exception as error:
        if not should_retry(error):
            raise
        first = error
    if not should_retry(first):
        result: T = first
        return result
    first_outcome = [first]

    async def attempt() -> Any:
        outcome = first_outcome.pop() if first_outcome else await work()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    retrying = AsyncRetrying(retry=retry_if_exception(should_retry) | retry_if_result(should_retry), **options)
    last: T = await retrying(attempt)
    return last
