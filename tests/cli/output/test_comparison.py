import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result

from pdistill.cli.output.comparison import show, verdict
from pdistill.core.numerics.estimates import Estimate
from pdistill.core.results.compare import compare
from pdistill.core.results.comparison import ComparedEstimate
from pdistill.core.store.rundir import RunDirectory
from tests.cli.colours import build_colours

Call = Callable[..., Result]


@pytest.fixture(scope="module")
def other(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run that was trained too little."""
    return build_colours(tmp_path_factory.mktemp("runs") / "little", files, learnt=False, learning_rate=1e-9).path


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
    assert f"{figures['b']['value']:.1%} in B and {figures['a']['value']:.1%} in A" in " ".join(lines)
    row = next(line for line in lines if line.startswith("student, no prompt"))
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


def test_hostile_text_stays_in_its_line(finished: Path, other: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compared = compare(RunDirectory(finished), RunDirectory(other))
    hostile = "x\x1b[2J\u202e\nerror: [red]"
    row = compared.changed.rows[0]
    changed = replace(row, query=hostile, reference=hostile, a=replace(row.a, response=hostile))
    compared = replace(
        compared,
        runs=replace(compared.runs, a=replace(compared.runs.a, path=hostile)),
        slices={hostile: compared.slices["slice-red"]},
        changed=replace(compared.changed, rows=[changed, *compared.changed.rows[1:]]),
    )
    show(compared, as_json=False)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "[red]" in out
    show(compared, as_json=True)
    assert "\u202e" not in capsys.readouterr().out


def test_the_verdict_says_what_is_significant() -> None:
    def sentence(low: float) -> str:
        a, b = (Estimate(9, value, None, None) for value in (0.5, 0.6))
        return verdict(ComparedEstimate(a, b, Estimate(9, 0.1, low, 0.2)))

    assert sentence(0.02).endswith("+10.0 (+2.0 to +20.0) percentage points, statistically significant.")
    assert sentence(-0.02).endswith("+10.0 (-2.0 to +20.0) percentage points, not statistically significant.")
