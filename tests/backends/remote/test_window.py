"""The number of requests in flight is bounded, and results that were paid for are yielded."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from pdistill.backends.remote.background import Background
from pdistill.backends.remote.window import in_window


class Flights:
    """Starts work that finishes when a test says so."""

    def __init__(self) -> None:
        self.pulled = 0
        self.flying: dict[int, Future[int]] = {}
        self.four_fly = threading.Event()

    def items(self, count: int) -> Iterator[int]:
        for number in range(count):
            self.pulled += 1
            yield number

    def start(self, number: int) -> "Future[int]":
        self.flying[number] = Future()
        self.flying[number].set_running_or_notify_cancel()
        if len(self.flying) == 4:
            self.four_fly.set()
        return self.flying[number]

    def land(self, number: int) -> None:
        self.flying.pop(number).set_result(number * number)


def test_items_are_pulled_when_there_is_room_and_yielded_as_they_finish() -> None:
    flights = Flights()
    results = in_window(flights.items(1000), flights.start, 4)

    def following(number: int) -> tuple[int, int]:
        flights.land(number)
        return next(results)

    with Background() as background:
        first = background.submit(asyncio.to_thread(next, results))
        assert flights.four_fly.wait(30)
        assert flights.pulled == 4
        flights.land(2)
        assert first.result(30) == (2, 4)
    assert following(3) == (3, 9)
    assert flights.pulled == 5
    assert set(flights.flying) == {0, 1, 4}


def test_failure_stops_pulling_and_is_raised_after_the_results_in_flight() -> None:
    async def fly(number: int) -> int:
        await asyncio.sleep(0.01 if number != 3 else 0)
        if number == 3:
            raise ValueError("lost")
        return number

    pulled: list[int] = []
    got: list[int] = []
    with Background() as background:

        def start(number: int) -> "Future[int]":
            pulled.append(number)
            return background.submit(fly(number))

        with pytest.raises(ValueError, match="lost"):
            got.extend(number for number, _ in in_window(range(100), start, 8))
    assert sorted(got) == sorted(set(pulled) - {3})
    assert len(pulled) < 100


def test_item_that_cannot_be_started_does_not_lose_the_others() -> None:
    async def fly(number: int) -> int:
        return number

    with Background() as background:

        def start(number: int) -> "Future[int]":
            if number == 5:
                raise ValueError("too long")
            return background.submit(fly(number))

        got: list[int] = []
        with pytest.raises(ValueError, match="too long"):
            got.extend(number for number, _ in in_window(range(10), start, 8))
    assert sorted(got) == [0, 1, 2, 3, 4]


def test_requests_in_flight_are_cancelled_if_the_caller_stops() -> None:
    cancelled: list[int] = []

    async def fly(number: int) -> int:
        try:
            await asyncio.sleep(0 if number == 0 else 3600)
        except asyncio.CancelledError:
            cancelled.append(number)
            raise
        return number

    with Background() as background:
        results = in_window(range(100), lambda number: background.submit(fly(number)), 5)
        assert next(results) == (0, 0)
        results.close()  # type: ignore[attr-defined]
    assert sorted(cancelled) == [1, 2, 3, 4]


def test_leaving_the_background_cancels_running_coroutines() -> None:
    async def sleep() -> None:
        await asyncio.sleep(3600)

    with Background() as background:
        future = background.submit(sleep())
    assert future.cancelled()
