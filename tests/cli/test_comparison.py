import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from pdistill.cli.comparison import show, verdict

Call = Callable[..., Result]
Job = Callable[[Path], list[object]]


@pytest.fixture(scope="module")
def other(call: Call, job: Job, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run that was trained too little."""
    run = tmp_path_factory.mktemp("runs") / "little"
    result = call("run", *job(run), "--learning-rate", 1e-9, "--json")
    assert result.exit_code == 0, result.stderr
    return run


@pytest.mark.parametrize("width", ["80", "120"])
def test_two_runs_are_shown_side_by_side(
    call: Call, finished: Path, other: Path, width: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    compared = json.loads(call("report", finished, other, "--json").stdout)
    text = call("report", finished, other).stdout
    lines = text.splitlines()
    assert max(map(len, lines)) <= int(width)
    figures = compared["arms"]["student"]["agreement"]
    assert f"{figures['b']['value']:.1%} in B against {figures['a']['value']:.1%} in A" in " ".join(lines)
    row = next(line for line in lines if line.startswith("student, without"))
    assert f"{figures['a']['value']:.3f}   {figures['b']['value']:.3f}" in row
    assert f"{100 * figures['difference']['value']:+.1f} (" in row
    assert any(line.startswith("slice-red") for line in lines)
    assert any(line.startswith("learning-rate") and line.endswith("1e-09") for line in lines)
    assert f"{compared['changed']['n']:,} answers differ" in text


def test_mistyped_second_run_is_a_one_line_error(call: Call, finished: Path) -> None:
    result = call("report", finished, "colurs")
    assert result.exit_code != 0
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1
    result = call("report", finished, finished)
    assert (result.exit_code, result.stderr) == (
        2,
        f"error: '{finished}' and '{finished}' are the same run; name two\n",
    )


def test_hostile_text_stays_in_its_line(
    call: Call, finished: Path, other: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compared = json.loads(call("report", finished, other, "--json").stdout)
    hostile = "x\x1b[2J\u202e\nerror: [red]"
    row = compared["changed"]["rows"][0]
    row["query"] = row["reference"] = row["a"]["response"] = compared["runs"]["a"]["path"] = hostile
    compared["slices"][hostile] = compared["slices"].pop("slice-red")
    show(compared, as_json=False)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "[red]" in out
    show(compared, as_json=True)
    assert "\u202e" not in capsys.readouterr().out


def test_verdict_says_what_is_not_significant() -> None:
    def said(low: float) -> str:
        gain = {"n": 9, "value": 0.1, "low": low, "high": 0.2}
        sides = {side: {"n": 9, "value": value} for side, value in (("a", 0.5), ("b", 0.6))}
        return verdict({"arms": {"student": {"agreement": {**sides, "difference": gain}}}})

    assert said(0.02).endswith("+10.0 (+2.0 to +20.0) points, more than chance explains.")
    assert said(-0.02).endswith("+10.0 (-2.0 to +20.0) points, no difference that chance would not explain.")
