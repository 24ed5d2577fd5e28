"""Keeps a bounded number of requests in flight: items are pulled only when there is room."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_window(items: Iterable[T], start: Callable[[T], "Future[R]"], size: int) -> Iterator[tuple[T, R]]:
    """Yield each item with its result, in the order in which they finish; at most `size` items are in flight.

    If an item can't be started or fails, no more items are started, the results of those in flight are yielded (they are
    billed in any case), and then the first failure is raised. If the caller stops early, those in flight are cancelled.
    """
    pulled = iter(items)
    finished: SimpleQueue[tuple[T, Future[R]]] = SimpleQueue()
    in_flight: set[Future[R]] = set()
    failure: BaseException | None = None
    more = True
    try:
        while more or in_flight:
            while more and len(in_flight) < size:
                try:
                    item = next(pulled)
                    future = start(item)
                except StopIteration:
                    more = False
                except Exception as error:  # noqa: BLE001 - raised below, after the results in flight
                    failure, more = error, False
                else:
                    in_flight.add(future)
                    future.add_done_callback(lambda done, item=item: finished.put((item, done)))  # type: ignore[misc]
            if in_flight:
                item, future = finished.get()
                in_flight.remove(future)
                problem = future.exception()
                if problem is None:
                    yield item, future.result()
                else:
                    failure, more = failure or problem, False
        if failure is not None:
            raise failure
    finally:
        for future in in_flight:
            future.cancel()
