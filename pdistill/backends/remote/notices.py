"""Logs problems with a service on the logger "pdistill", rate-limited so that they never flood the output."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable

LOGGER = logging.getLogger("pdistill")
FIRST_INTERVAL_SECONDS, MAX_INTERVAL_SECONDS = 10.0, 600.0
"""How long notices of one kind are only counted after one was logged; doubles each time, up to the maximum."""


class Notices:
    """Logs the first notice of each kind at once, later ones at increasing intervals with the number suppressed meanwhile.

    Args:
        clean: removes secrets from a text.
        every: minimum number of seconds between the first two notices of one kind.
    """

    def __init__(self, clean: Callable[[str], str] = str, every: float = FIRST_INTERVAL_SECONDS) -> None:
        self._clean = clean
        self._every = every
        self._next: dict[str, float] = {}
        self._pauses: dict[str, float] = {}
        self._suppressed: Counter[str] = Counter()
        self._lock = threading.Lock()

    def warn(self, kind: str, text: str) -> None:
        """Log a warning, or only count it if one of its kind was logged recently."""
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
    """Redirects the warnings of a library's loggers, of which there may be thousands, to notices.

    Args:
        name: the library's logger; its records are not propagated while the context is open.
        notices: where the warnings go.
        excluding: records that contain this text are dropped; empty keeps all.
    """

    def __init__(self, name: str, notices: Notices, excluding: str = "") -> None:
        super().__init__(logging.WARNING)
        self._logger = logging.getLogger(name)
        self._notices = notices
        self._excluding = excluding

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record as a notice; records from the same line of the library are of one kind."""
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
