"""Progress on standard error: a bar on a terminal, else plain lines; in a notebook, below the cell."""

import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from pdistill.cli.escape import one_line
from pdistill.cli.progress.notebook import Cell, in_notebook
from pdistill.cli.progress.stage import Stage

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

FIRST, SECOND, LATER = 1.0, 5.0, 60.0
"""Seconds until the first plain line of a stage, until the second, and at most between later ones."""

BAR = (4, 20)
"""The fewest and the most columns of a terminal's bar."""


class Display(Protocol):
    """A place that shows progress."""

    def show(self, stage: Stage) -> None:
        """Show this stage from now on."""

    def line(self, text: str) -> None:
        """Write a permanent line."""

    def close(self) -> None:
        """Stop showing progress."""


class Shown:
    """Progress on a display; between stages it shows that work continues."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._written: set[str] = set()
        self._idle()

    def _idle(self) -> None:
        self._stage = Stage("working")
        self._display.show(self._stage)

    def begin(self, stage: str, total: int, done: int, unit: str) -> None:
        """Show a stage."""
        self._stage = Stage(one_line(stage), total, done, one_line(unit))
        self._display.show(self._stage)

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count completed units."""
        self._stage.advance(count, one_line(note), time.monotonic())

    def end(self) -> None:
        """End the stage, and leave one line that sums it up."""
        self._display.line(self._stage.summary(time.monotonic()))
        self._idle()

    def say(self, line: str) -> None:
        """Write a line, unless the same one was written before."""
        if line not in self._written:
            self._written.add(line)
            self._display.line(one_line(line))


class Notices(logging.Handler):
    """Shows the backends' warnings on the logger "pdistill", such as that a request is retried."""

    def __init__(self, shown: Shown) -> None:
        super().__init__(logging.WARNING)
        self._shown = shown

    def emit(self, record: logging.LogRecord) -> None:
        """Write it as one line."""
        self._shown.say(record.getMessage())


class Lines:
    """Plain lines: the first of a stage after a second, later ones less and less often."""

    def __init__(self, first: float = FIRST, second: float = SECOND, later: float = LATER) -> None:
        self._waits = (first, second, later)
        self._stream = sys.stderr  # a backend may silence a library by redirecting it
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def show(self, stage: Stage) -> None:
        """Write the progress of this stage from now on."""
        self.close()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._tick, args=(stage, self._stopped), daemon=True)
        self._thread.start()

    def line(self, text: str) -> None:
        """Write one line."""
        with suppress(OSError, ValueError):  # a closed stream
            self._stream.write(f"{text}\n")
            self._stream.flush()

    def close(self) -> None:
        """Stop writing."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _tick(self, stage: Stage, stopped: threading.Event) -> None:
        wait, second, later = self._waits
        while not stopped.wait(wait):
            self.line(f"{stage.name}: {stage.figures(time.monotonic())}")
            wait = min(max(second, 2 * wait), later)


class Bar:
    """One line at the bottom of a terminal that is redrawn several times per second."""

    def __init__(self, console: "Console") -> None:
        from rich.live import Live

        self._console = console
        self._stage = Stage("")
        self._live = Live(
            console=console, get_renderable=self._drawn, refresh_per_second=8, transient=True, redirect_stdout=False
        )
        self._live.start()

    def show(self, stage: Stage) -> None:
        """Draw this stage from now on."""
        self._stage = stage

    def line(self, text: str) -> None:
        """Write one line above the bar."""
        from rich.text import Text

        self._console.print(Text(text))

    def close(self) -> None:
        """Remove the bar."""
        self._live.stop()

    def _drawn(self) -> "Table":
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        stage, now = self._stage, time.monotonic()
        room = self._console.width - len(stage.name) - 2
        figures = stage.figures(now, room - BAR[0])
        width = min(max(room - len(figures), BAR[0]), BAR[1])
        bar = ProgressBar(
            total=stage.total or None, completed=stage.done, width=width, pulse=not stage.total, animation_time=now
        )
        row = Table.grid(padding=(0, 1))
        row.add_row(Text(stage.name), bar, Text(figures, overflow="ellipsis", no_wrap=True))
        return row


@contextmanager
def showing() -> Iterator[Shown]:
    """Return progress that is shown until the block ends: on standard error, or below a notebook's cell."""
    display: Display
    if in_notebook():
        display = Cell()
    elif sys.stderr.isatty():
        from rich.console import Console

        console = Console(file=sys.stderr, highlight=False)
        display = Lines() if console.is_dumb_terminal else Bar(console)
    else:
        display = Lines()
    shown = Shown(display)
    notices = Notices(shown)
    logger = logging.getLogger("pdistill")
    logger.addHandler(notices)
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it warns at every attempt; the final error is enough
    try:
        yield shown
    finally:
        logger.removeHandler(notices)
        display.close()
