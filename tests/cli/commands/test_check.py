import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from junitparser import Failure, JUnitXml

Call = Callable[..., Result]


def test_run_below_a_threshold_fails_and_names_it(call: Call, finished: Path, tmp_path: Path) -> None:
    junit = tmp_path / "check.xml"
    result = call("check", finished, "--min-agreement", 1, "--min-recovery", 0.5, "--junit", junit)
    assert result.exit_code == 1
    assert result.stdout.startswith("failed: agreement ")
    assert result.stderr == f"error: '{finished}' does not meet --min-agreement and --min-recovery\n"
    (suite,) = JUnitXml.fromfile(str(junit))
    assert (suite.tests, suite.failures) == (2, 2)
    assert [case.classname for case in suite] == ["pdistill.prompt", "pdistill.prompt"]
    assert all(isinstance(case.result[0], Failure) for case in suite)


def test_a_good_run_passes(call: Call, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    junit, summary = tmp_path / "check.xml", tmp_path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    result = call("check", finished, "--min-agreement", 0.1, "--junit", junit)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("passed: agreement ")
    (suite,) = JUnitXml.fromfile(str(junit))
    assert (suite.tests, suite.failures) == (1, 0)
    assert summary.read_text().startswith("before\n### pdistill check of `prompt`\n")
    assert "| passed | agreement " in summary.read_text()


def test_thresholds_can_be_set_in_the_configuration_file(call: Call, finished: Path, tmp_path: Path) -> None:
    config = tmp_path / "job.toml"
    config.write_text("limit = 5\n[check]\nmin-agreement = 0.1\nmin-recovery = 0.9\n")
    row = json.loads(call("check", finished, "--config", config, "--min-recovery", 0.2, "--json").stdout)
    assert [(each["name"], each["threshold"]) for each in row["checks"]] == [("agreement", 0.1), ("recovery", 0.2)]
    assert row["passed"] is False
    config.write_text("[check]\nmin-agreement = 'much'\n")
    result = call("check", finished, "--config", config)
    assert (result.exit_code, result.stderr) == (
        2,
        f"error: min-agreement in [check] of '{config}' is 'much', not a number up to 1,000\n",
    )


def test_without_thresholds_the_verdict_is_checked(call: Call, finished: Path) -> None:
    result = call("check", finished)
    assert (result.exit_code, result.stdout) == (
        1,
        "failed: verdict can't tell: 15 held-out queries are too few\n",
    )
    assert result.stderr == f"error: '{finished}' is not to be shipped yet\n"


def test_meaningless_thresholds_are_usage_errors(call: Call, finished: Path) -> None:
    assert call("check", finished, "--min-agreement", "1.5").exit_code == 2
