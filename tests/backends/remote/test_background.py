"""Coroutines run while the context is open, and the garbage collector ignores older objects meanwhile."""

import asyncio
import gc
import threading
from concurrent.futures import CancelledError

import pytest

from pdistill.backends.remote.background import Background, run_blocking


async def double(number: int) -> int:
    return 2 * number


def test_results_are_returned_and_running_coroutines_cancelled() -> None:
    with Background() as background:
        assert background.submit(double(4)).result() == 8
        endless = background.submit(asyncio.sleep(3600))
    with pytest.raises(CancelledError):
        endless.result(10)


def test_existing_objects_are_frozen_while_the_loop_runs() -> None:
    before = gc.get_freeze_count()
    with Background():
        assert gc.get_freeze_count() > before
    assert gc.get_freeze_count() == 0


def test_blocking_call_cannot_be_cancelled() -> None:
    release = threading.Event()
    future = run_blocking(release.wait)
    assert not future.cancel(), "its thread could not hand over what it returns"
    release.set()
    assert future.result(10) is True
