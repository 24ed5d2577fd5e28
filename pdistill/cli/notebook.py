"""Progress in a notebook: a line below the cell that is written anew, and lines that stay above it."""

import sys
import threading
import time
from typing import Any

from pdistill.cli.stage import Stage

OFTEN = 0.5
"""Seconds between two looks at the stage."""


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook, whose output is no terminal's."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


class Cell:
    """The output of the cell that runs."""

    def __init__(self, often: float = OFTEN) -> None:
        from IPython.display import display

        self._often = often
        self._handle: Any = display(_plain(""), raw=True, display_id=True)
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def show(self, stage: Stage) -> None:
        """From now on write how far this stage is."""
        self._stop()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._tick, args=(stage, self._stopped), daemon=True)
        self._thread.start()

    def line(self, text: str) -> None:
        """Write one line that stays."""
        print(text, flush=True)

    def close(self) -> None:
        """Take the line below the cell away."""
        self._stop()
        self._handle.update(_plain(""), raw=True)

    def _stop(self) -> None:
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _tick(self, stage: Stage, stopped: threading.Event) -> None:
        while not stopped.wait(self._often):
            self._handle.update(_plain(f"{stage.name}: {stage.figures(time.monotonic())}"), raw=True)


def _plain(text: str) -> dict[str, str]:
    return {"text/plain": text}
