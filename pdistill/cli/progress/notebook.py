"""Progress in a notebook: one line below the cell that is updated, and permanent lines above it."""

import sys
import threading
import time
from typing import Any

from pdistill.cli.progress.stage import Stage

INTERVAL = 0.5
"""Seconds between two updates."""


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook, whose output is not a terminal."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


class Cell:
    """The output of the running cell."""

    def __init__(self, interval: float = INTERVAL) -> None:
        from IPython.display import display

        self._interval = interval
        self._handle: Any = display(_plain(""), raw=True, display_id=True)
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def show(self, stage: Stage) -> None:
        """Show the progress of this stage from now on."""
        self._stop()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._tick, args=(stage, self._stopped), daemon=True)
        self._thread.start()

    def line(self, text: str) -> None:
        """Write a permanent line."""
        print(text, flush=True)

    def close(self) -> None:
        """Remove the line below the cell."""
        self._stop()
        self._handle.update(_plain(""), raw=True)

    def _stop(self) -> None:
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _tick(self, stage: Stage, stopped: threading.Event) -> None:
        while not stopped.wait(self._interval):
            self._handle.update(_plain(f"{stage.name}: {stage.figures(time.monotonic())}"), raw=True)


def _plain(text: str) -> dict[str, str]:
    return {"text/plain": text}
