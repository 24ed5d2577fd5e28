"""The progress of one stage of a run, and how it is worded."""

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Stage:
    """The progress of one stage; without a total, only the elapsed time is known."""

    name: str
    total: int = 0
    done: int = 0
    unit: str = ""
    began: float = field(default_factory=time.monotonic)
    note: str = ""
    _start: tuple[float, int] | None = None

    def advance(self, count: int, note: str, now: float) -> None:
        """Count completed units; the rate is measured from the first call on, so that it excludes loading the model."""
        self.done += count
        self.note = note or self.note
        if self._start is None:
            self._start = (now, self.done)

    def rate(self, now: float) -> float | None:
        """Return the units per second, or None if too little is known yet."""
        since, base = self._start or (now, self.done)
        return (self.done - base) / (now - since) if self.done > base and now > since else None

    def figures(self, now: float, width: int | None = None) -> str:
        """Return count, percentage, rate, time left and note in one line.

        Args:
            width: the most characters; what does not fit is left out: the rate, then the note, then the count.
        """
        if not self.total:
            return clock(now - self.began)
        percent = f"{self.done / self.total:.0%}"
        count, rate, note = f"{self.done:,} of {self.total:,} {self.unit} ({percent})", self.rate(now), self.note
        speed = f"{rate:,.1f} {self.unit}/s" if rate else ""
        left = f"{clock((self.total - self.done) / rate)} left" if rate else ""
        choices = ((count, speed, left, note), (count, left, note), (count, left), (percent, left))
        lines = [", ".join(part for part in parts if part) for parts in choices]
        return next((line for line in lines if width is None or len(line) <= width), lines[-1])

    def summary(self, now: float) -> str:
        """Return the line for a stage that has ended."""
        note = f", {self.note}" if self.note else ""
        return f"{self.name}: {self.done:,} {self.unit} in {_spent(now - self.began)}{note}"


def clock(seconds: float) -> str:
    """Return a time such as 0:07, 12:34 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _spent(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else clock(seconds)
