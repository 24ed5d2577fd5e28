import contextlib
import io
import re
import time

import pytest
from rich.console import Console

from pdistill.cli.progress import Bar, Lines, Shown
from pdistill.cli.progress.stage import Stage, clock


def test_rate_and_time_left_leave_out_what_was_there_and_the_opening() -> None:
    stage = Stage("teacher", total=1000, done=400, unit="answers", began=0.0)
    assert stage.figures(30.0) == "400 of 1,000 answers (40%)"
    stage.advance(100, "", 40.0)
    assert stage.figures(40.0) == "500 of 1,000 answers (50%)"
    stage.advance(100, "loss 0.5", 50.0)
    assert stage.figures(50.0) == "600 of 1,000 answers (60%), 10.0 answers/s, 0:40 left, loss 0.5"
    assert stage.summary(75.0) == "teacher: 600 answers in 1:15, loss 0.5"


def test_in_a_narrow_place_the_time_left_stays() -> None:
    stage = Stage("teacher", total=1000, done=400, unit="answers", began=0.0)
    stage.advance(100, "loss 0.5", 40.0)
    stage.advance(100, "", 50.0)
    shown = {len(line): line for line in (stage.figures(50.0, width) for width in range(80))}
    assert list(shown.values()) == [
        "60%, 0:40 left",
        "600 of 1,000 answers (60%), 0:40 left",
        "600 of 1,000 answers (60%), 0:40 left, loss 0.5",
        "600 of 1,000 answers (60%), 10.0 answers/s, 0:40 left, loss 0.5",
    ]


@pytest.mark.parametrize("width", [30, 60, 100])
def test_the_bar_shrinks_before_the_time_left_goes(width: int) -> None:
    file = io.StringIO()
    bar = Bar(Console(file=file, force_terminal=True, width=width, highlight=False))
    stage = Stage("teacher", total=2751, done=400, unit="answers")
    stage.advance(100, "", time.monotonic() - 10)
    stage.advance(100, "loss 0.123", time.monotonic())
    bar.show(stage)
    bar._live.refresh()
    bar.close()
    drawn = next(line for line in file.getvalue().splitlines() if "teacher" in line)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn)
    assert re.search(r"\d:\d\d left", text), text
    assert len(text.strip()) <= width
    assert ("answers/s" in text, "loss" in text, "of 2,751" in text) == (width == 100, width == 100, width >= 60)


def test_a_clock_grows_with_the_time() -> None:
    assert [clock(seconds) for seconds in (7.4, 754, 3723)] == ["0:07", "12:34", "1:02:03"]


def test_lines_appear_at_increasing_intervals_and_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    display = Lines(first=0.05, second=0.1, later=0.1)
    shown = Shown(display)
    shown.begin("teacher", 10, 0, "answers")
    shown.advance(4)
    time.sleep(0.3)
    shown.say("a \x1b[31mline")
    shown.advance(6)
    shown.end()
    display.close()
    wrote = capsys.readouterr().err.splitlines()
    assert wrote[0] == "teacher: 4 of 10 answers (40%)"
    assert 2 <= wrote.count("teacher: 4 of 10 answers (40%)") <= 3
    assert "a \\x1b[31mline" in wrote
    assert wrote[-1].startswith("teacher: 10 answers in 0.")


def test_lines_appear_while_a_library_is_silenced(capsys: pytest.CaptureFixture[str]) -> None:
    display = Lines(first=0.05, second=0.1, later=0.1)
    shown = Shown(display)
    with contextlib.redirect_stderr(io.StringIO()):
        time.sleep(0.3)
        shown.say("converting")
    display.close()
    assert capsys.readouterr().err.startswith("working: 0:00\n")


def test_a_quick_stage_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    display = Lines()
    shown = Shown(display)
    shown.begin("train", 2, 0, "steps")
    shown.advance(2, "loss 0.100")
    shown.end()
    display.close()
    assert capsys.readouterr().err == "train: 2 steps in 0.0 s, loss 0.100\n"


def test_line_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Shown(Lines())
    for line in ("one", "two", "one"):
        shown.say(line)
    assert capsys.readouterr().err == "one\ntwo\n"


def test_a_bar_shows_the_stage_and_leaves_its_summary() -> None:
    file = io.StringIO()
    bar = Bar(Console(file=file, force_terminal=True, width=80, highlight=False))
    shown = Shown(bar)
    shown.begin("base [red]", 8, 0, "answers")
    shown.advance(4)
    bar._live.refresh()
    shown.end()
    bar.close()
    wrote = file.getvalue()
    assert "4 of 8 answers (50%)" in wrote
    assert "base [red]: 4 answers in 0." in wrote
