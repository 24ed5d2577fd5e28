"""The log of a training: how many answers are right, by kind of case."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path


class Log:
    """Lines of a JSON log: the step, its loss, the fraction of right answers by kind of case since the last line."""

    def __init__(self, path: Path, every: int = 50) -> None:
        self.path, self.every = path, every
        self.right: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        self.loss = 0.0
        self.started = time.monotonic()

    def add(self, step: int, loss: float, counts: dict[str, tuple[int, int]]) -> None:
        """Count a step; write a line now and then."""
        self.loss += loss
        for tag, (right, seen) in counts.items():
            self.seen[tag] += seen
            self.right[tag] += right
        if (step + 1) % self.every:
            return
        line: dict[str, object] = {"step": step + 1, "loss": round(self.loss / self.every, 4)}
        line["seconds"] = round((time.monotonic() - self.started) / self.every, 3)
        line["right"] = {tag: round(self.right[tag] / self.seen[tag], 3) for tag in sorted(self.seen)}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.right.clear()
        self.seen.clear()
        self.loss, self.started = 0.0, time.monotonic()
