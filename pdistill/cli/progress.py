"""Progress on standard error: a bar on a terminal, plain lines elsewhere; in a notebook, below the cell."""

import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from pdistill.cli.escape import one_line
from pdistill.cli.notebook import Cell, in_notebook
from pdistill.cli.stage import Stage

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

FIRST, SECOND, LATER = 1.0, 5.0, 60.0
"""Seconds to the first plain line of a stage, to the second, and at most to each further one."""


class Display(Protocol):
    """Where progress is shown."""

    def show(self, stage: Stage) -> None:
        """From now on show this stage."""

    def line(self, text: str) -> None:
        """Write one line that stays."""

    def close(self) -> None:
        """Show nothing any more."""


class Shown:
    """Progress that a display shows; between stages it shows that work goes on."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._said: set[str] = set()
        self._idle()

    def _idle(self) -> None:
        self._stage = Stage("working")
        self._display.show(self._stage)

    def begin(self, stage: str, total: int, done: int, unit: str) -> None:
        """Show a stage."""
        self._stage = Stage(one_line(stage), total, done, one_line(unit))
        self._display.show(self._stage)

    def advance(self, count: int = 1, note: str = "") -> None:
        """Show that more is done."""
        self._stage.advance(count, one_line(note), time.monotonic())

    def end(self) -> None:
        """Leave one line that says what was done."""
        self._display.line(self._stage.summary(time.monotonic()))
        self._idle()

    def say(self, line: str) -> None:
        """Write a line; each only once."""
        if line not in self._said:
            self._said.add(line)
            self._display.line(one_line(line))


class Notices(logging.Handler):
    """Shows what the backends say on the logger "pdistill", such as that a service is asked again."""

    def __init__(self, shown: Shown) -> None:
        super().__init__(logging.WARNING)
        self._shown = shown

    def emit(self, record: logging.LogRecord) -> None:
        """Write it as one line."""
        self._shown.say(record.getMessage())


class Lines:
    """Plain lines: the first of a stage after a second, then ever more seldom."""

    def __init__(self, first: float = FIRST, second: float = SECOND, later: float = LATER) -> None:
        self._waits = (first, second, later)
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def show(self, stage: Stage) -> None:
        """From now on write how far this stage is."""
        self.close()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._tick, args=(stage, self._stopped), daemon=True)
        self._thread.start()

    def line(self, text: str) -> None:
        """Write one line."""
        with suppress(OSError):
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()

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
    """One line at the bottom of a terminal that is drawn anew several times a second."""

    def __init__(self, console: "Console") -> None:
        from rich.live import Live

        self._console = console
        self._stage = Stage("")
        self._live = Live(
            console=console, get_renderable=self._drawn, refresh_per_second=8, transient=True, redirect_stdout=False
        )
        self._live.start()

    def show(self, stage: Stage) -> None:
        """From now on draw this stage."""
        self._stage = stage

    def line(self, text: str) -> None:
        """Write one line above the bar."""
        from rich.text import Text

        self._console.print(Text(text))

    def close(self) -> None:
        """Take the bar away."""
        self._live.stop()

    def _drawn(self) -> "Table":
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        stage, now = self._stage, time.monotonic()
        bar = ProgressBar(
            total=stage.total or None, completed=stage.done, width=20, pulse=not stage.total, animation_time=now
        )
        row = Table.grid(padding=(0, 1))
        row.add_row(Text(stage.name), bar, Text(stage.figures(now), overflow="ellipsis", no_wrap=True))
        return row


@contextmanager
def showing() -> Iterator[Shown]:
    """Return progress that is shown until the block is left: on standard error, or below a notebook's cell."""
    display: Display
    if in_notebook():
        display = Cell()
    elif sys.stderr.isatty():
        from rich.console import Console

        console = Console(stderr=True, highlight=False)
        display = Lines() if console.is_dumb_terminal else Bar(console)
    else:
        display = Lines()
    shown = Shown(display)
    notices = Notices(shown)
    logger = logging.getLogger("pdistill")
    logger.addHandler(notices)
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it warns of every try; the error says it once
    try:
        yield shown
    finally:
        logger.removeHandler(notices)
        display.close()
