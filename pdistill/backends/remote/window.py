"""Keeps a number of requests in flight: items are pulled only when there is room, results come as they finish."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_window(items: Iterable[T], start: Callable[[T], "Future[R]"], size: int) -> Iterator[tuple[T, R]]:
    """Yield each item with its result, in the order in which they finish; holds at most `size` items.

    Where an item can't be started or fails, no further one is started, the results of those in flight are yielded
    (they are paid for), and then the first failure is raised. Where the caller stops, those in flight are cancelled.
    """
    pulled = iter(items)
    finished: SimpleQueue[tuple[T, Future[R]]] = SimpleQueue()
    flying: set[Future[R]] = set()
    failure: BaseException | None = None
    more = True
    try:
        while more or flying:
            while more and len(flying) < size:
                try:
                    item = next(pulled)
                    future = start(item)
                except StopIteration:
                    more = False
                except Exception as error:  # noqa: BLE001 - raised below, after the results that are paid for
                    failure, more = error, False
                else:
                    flying.add(future)
                    future.add_done_callback(lambda done, item=item: finished.put((item, done)))  # type: ignore[misc]
            if flying:
                item, future = finished.get()
                flying.remove(future)
                problem = future.exception()
                if problem is None:
                    yield item, future.result()
                else:
                    failure, more = failure or problem, False
        if failure is not None:
            raise failure
    finally:
        for future in flying:
            future.cancel()
