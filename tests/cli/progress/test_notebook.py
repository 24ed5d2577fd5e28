import sys
import time
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from pdistill.cli.progress import Lines, showing
from pdistill.cli.progress.notebook import Cell, in_notebook


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is shown below the cell of a notebook, each time that it is drawn; IPython is one of ours, as there may be none."""
    shown: list[str] = []

    class Handle:
        def update(self, data: dict[str, str], *, raw: bool) -> None:
            shown.append(data["text/plain"])

    def display(data: dict[str, str], *, raw: bool, display_id: bool) -> Handle:
        shown.append(data["text/plain"])
        return Handle()

    python, shower = ModuleType("IPython"), ModuleType("IPython.display")
    python.get_ipython = lambda: SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    shower.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", python)
    monkeypatch.setitem(sys.modules, "IPython.display", shower)
    return shown


def test_progress_is_drawn_below_the_cell_and_lines_stay(
    drawn: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pdistill.cli.progress.Cell", lambda: Cell(interval=0.001))
    with showing() as progress:
        progress.begin("teacher", 4, 0, "answers")
        progress.advance(2)
        while not any("2 of 4 answers (50%)" in line for line in drawn):
            time.sleep(0.001)
        progress.end()
        progress.say("one answer is not used")
    said = capsys.readouterr()
    assert said.out.startswith("teacher: 2 answers in ")
    assert said.out.endswith("one answer is not used\n")
    assert said.err == ""
    assert (drawn[0], drawn[-1]) == ("", "")


@pytest.mark.parametrize("shell", [None, SimpleNamespace()])
def test_terminal_is_not_a_notebook(shell: Any, drawn: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: shell)
    assert not in_notebook()
    with showing() as progress:
        assert isinstance(progress._display, Lines)
    assert drawn == []


def test_without_ipython_there_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not in_notebook()
