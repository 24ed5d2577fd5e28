"""Says what goes wrong on the way to a service: on the logger "pdistill", seldom enough that nothing floods."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable

LOGGER = logging.getLogger("pdistill")
FIRST_INTERVAL_SECONDS, MAX_INTERVAL_SECONDS = 10.0, 600.0
"""Seconds for which a kind of notice is only counted after the first was said; twice as long each time, up to the longest."""


class Notices:
    """Says each kind of notice at once, then ever more seldom with how often it came.

    Args:
        clean: returns a text without the secrets that it may hold.
        every: seconds between the first two notices of one kind.
    """

    def __init__(self, clean: Callable[[str], str] = str, every: float = FIRST_INTERVAL_SECONDS) -> None:
        self._clean = clean
        self._every = every
        self._next: dict[str, float] = {}
        self._pauses: dict[str, float] = {}
        self._suppressed: Counter[str] = Counter()
        self._lock = threading.Lock()

    def warn(self, kind: str, text: str) -> None:
        """Log a warning, or count it where one of its kind was logged a moment ago."""
        now = time.monotonic()
        with self._lock:
            if now < self._next.get(kind, now):
                self._suppressed[kind] += 1
                return
            pause = self._pauses.get(kind, self._every)
            self._next[kind] = now + pause
            self._pauses[kind] = min(2 * pause, MAX_INTERVAL_SECONDS)
            more = self._suppressed.pop(kind, 0)
        LOGGER.warning("%s", self._clean(f"{text} ({more:,} more like this since)" if more else text))


class Relay(logging.Handler):
    """Takes the warnings of a library's loggers, which may come by the thousand, and says them as notices.

    Args:
        name: the library's logger; its records go nowhere else until the handler is taken away.
        notices: says them.
        excluding: what is in no record that is said; empty says all.
    """

    def __init__(self, name: str, notices: Notices, excluding: str = "") -> None:
        super().__init__(logging.WARNING)
        self._logger = logging.getLogger(name)
        self._notices = notices
        self._excluding = excluding

    def emit(self, record: logging.LogRecord) -> None:
        """Say a record; those that come from one line of the library are of one kind."""
        line = _first_line(record)
        if not self._excluding or self._excluding not in line:
            self._notices.warn(f"{record.name}:{record.lineno}", f"{record.name.partition('.')[0]}: {line}")

    def __enter__(self) -> "Relay":
        self._propagated, self._logger.propagate = self._logger.propagate, False
        self._logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)
        self._logger.propagate = self._propagated


def _first_line(record: logging.LogRecord) -> str:
    return next(iter(record.getMessage().strip().splitlines()), "")
