"""Background threads: an event loop, so that synchronous code can have hundreds of requests in flight, and blocking calls."""

import asyncio
import gc
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Background:
    """Runs coroutines on a thread while the context is open; those still running at its end are cancelled.

    Meanwhile, the garbage collector ignores all objects that existed before: scanning what the libraries have allocated
    would pause every request for tenths of a second.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def submit(self, work: Coroutine[Any, Any, T]) -> "Future[T]":
        """Start a coroutine and return a future for its result; cancelling the future cancels the coroutine."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def __enter__(self) -> "Background":
        gc.freeze()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(_cancel_others(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        gc.unfreeze()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def run_blocking(work: Callable[[], T]) -> "Future[T]":
    """Run a blocking function on its own thread and return a future for its result; it can't be cancelled."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - passed on through the future
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future
