import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from pdistill.cli.output.report import show

Call = Callable[..., Result]


@pytest.fixture
def made(finished: Path) -> dict[str, Any]:
    report = json.loads((finished / "report.json").read_text())
    assert isinstance(report, dict)
    return report


@pytest.mark.parametrize("width", ["80", "120"])
def test_the_report_fits_and_says_what_there_is(
    call: Call, finished: Path, made: dict[str, Any], width: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    text = call("report", finished).stdout
    lines = text.splitlines()
    assert max(map(len, lines)) <= int(width)
    assert lines[1].startswith("Only 15 queries are held out, too few to conclude anything from")
    student = made["arms"]["student"]
    for by in ("agreement", "accuracy"):
        figure = f"{round(student[by]['value'] * 15)} of 15"
        assert figure in next(line for line in lines if line.startswith("student, no prompt"))
    recovery = "Recovery in accuracy, (student - base) / (teacher - base): too few held-out queries."
    assert recovery in " ".join(text.split())
    assert "slice-red" in text
    assert f"{made['tokens']['saved_per_call']:,.0f} saved" in text
    assert "".join(lines[-2:]).replace(" ", "").endswith(f"Trythestudent:pdistillsample{finished}")


def test_agreement_and_accuracy_have_their_own_names(made: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    changed = deepcopy(made)
    changed["arms"]["student"]["agreement"] |= {"value": 0.111, "low": None, "high": None}
    changed["arms"]["student"]["accuracy"] |= {"value": 0.222, "low": None, "high": None}
    show(changed, Path("x"), as_json=False)
    lines = capsys.readouterr().out.splitlines()
    heads = next(line for line in lines if "agreement" in line and "accuracy" in line)
    row = next(line for line in lines if line.startswith("student, no prompt"))
    assert row.index("0.111") < heads.index("accuracy") < row.index("0.222") + len("0.222")
    assert "the student agrees with the teacher on 11.1% of" in " ".join(lines[1:4])


def test_small_slices_are_marked_and_missing_references_are_dashes(
    made: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    changed = deepcopy(made)
    for arm in changed["arms"].values():
        arm["accuracy"] = None
        for figures in arm["slices"].values():
            figures["accuracy"] = None
            figures["agreement"]["n"] = 19
        arm["slices"]["slice-red"]["agreement"]["n"] = 20
    changed["arms"]["student"]["agreement"]["n"] = 20
    changed["recovery"] = {"value": None, "low": None, "high": None}
    show(changed, Path("x"), as_json=False)
    out = capsys.readouterr().out
    rows = {line.split()[0]: line for line in out.splitlines() if line.startswith("slice-")}
    assert "19*" in rows["slice-blue"]
    assert "*" not in rows["slice-red"]
    assert rows["slice-red"].endswith("–")
    assert "undefined, because the teacher is no better than the base" in " ".join(out.split())


def test_colour_follows_the_terminal(call: Call, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b" not in call("report", finished).stdout
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[1;32mstudent" in call("report", finished).stdout
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[1;32m" not in call("report", finished).stdout
