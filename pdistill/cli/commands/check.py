"""`pdistill check`: a gate for continuous integration."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pdistill.cli.escape import json_text, one_line
from pdistill.cli.options import FILE, FRACTION, FiniteRange, as_json, the_run
from pdistill.cli.sections import SectionedOption
from pdistill.core.errors import RunError, UsageError

if TYPE_CHECKING:
    from pdistill.core.results.check import Check
    from pdistill.core.results.report import Report

SUMMARY = "GITHUB_STEP_SUMMARY"


@click.command()
@the_run
@click.option("--min-agreement", metavar="X", type=FRACTION, help="Least agreement of student and teacher, 0 to 1.")
@click.option(
    "--min-recovery",
    cls=SectionedOption,
    metavar="X",
    type=FiniteRange(-1_000, 1_000),
    help="Least recovery of the gap from base to teacher; 1 is all of it.",
)
@click.option("--min-accuracy", metavar="X", type=FRACTION, help="Least accuracy of the student, 0 to 1.")
@click.option("--no-alarms", is_flag=True, help="Fail if a probe raises an alarm.")
@click.option(
    "--config",
    metavar="FILE.toml",
    type=FILE,
    help="Read them from its table [check]; options given here take precedence.",
)
@click.option("--junit", metavar="FILE", type=FILE, help="Write the outcome as JUnit XML too.")
@as_json
def check(
    run: str, as_json: bool, config: str | None, junit: str | None, no_alarms: bool, **given: float | None
) -> None:
    """Fail if a run does not meet thresholds.

    RUN is the directory of a run, or its name under runs/. Without a threshold the verdict of its report must be "ship".
    The lower bound of the 95% interval counts, not the value, so that a few queries can't pass by luck. Exits with 1 if a
    threshold is not met. In a GitHub workflow the outcome is added to the job's summary.
    """
    from pdistill.cli.plugin_warnings import warn_of_plugins
    from pdistill.cli.progress import showing
    from pdistill.core.results.check import check as check_report
    from pdistill.core.results.reporting import read_report
    from pdistill.core.setup.configfile import NO_ALARMS, read_thresholds
    from pdistill.core.store.rundir import find_run

    warn_of_plugins()
    directory = find_run(run)
    thresholds = read_thresholds(Path(config)) if config else {}
    thresholds |= {name: value for name, value in given.items() if value is not None}
    if no_alarms:
        thresholds[NO_ALARMS] = True
    with showing():
        report = read_report(directory)
    checks = check_report(report, thresholds)
    if junit:
        _write(Path(junit), _junit(report, checks))
    if os.environ.get(SUMMARY):
        _write(Path(os.environ[SUMMARY]), _summary(report, checks), append=True)
    click.echo(json_text(_as_row(checks)) if as_json else "\n".join(_line(each) for each in checks))
    failed = [each.flag for each in checks if not each.passed]
    if failed:
        what = f"does not meet {' and '.join(failed)}" if thresholds else "is not to be shipped yet"
        raise RunError(f"'{directory.path}' {what}")


def _line(check: "Check") -> str:
    return f"{'passed' if check.passed else 'failed'}: {check.line}"


def _as_row(checks: list["Check"]) -> dict[str, object]:
    return {
        "passed": all(each.passed for each in checks),
        "checks": [
            {
                "name": each.metric,
                "threshold": each.threshold,
                "passed": each.passed,
                **(asdict(each.estimate) if each.estimate else {"outcome": each.outcome}),
            }
            for each in checks
        ],
    }


def _junit(report: "Report", checks: list["Check"]) -> bytes:
    from junitparser import Failure, JUnitXml, TestCase, TestSuite

    suite = TestSuite("pdistill check")
    for each in checks:
        threshold = "" if each.threshold is None else f" {each.threshold:g}"
        case = TestCase(f"{each.name.replace('_', '-')}{threshold}", f"pdistill.{one_line(report.task)}")
        if each.passed:
            case.system_out = each.line
        else:
            case.result = [Failure(each.line)]
        suite.add_testcase(case)
    xml = JUnitXml("pdistill")
    xml.add_testsuite(suite)
    return bytes(xml.tostring())  # type: ignore[no-untyped-call]


def _summary(report: "Report", checks: list["Check"]) -> bytes:
    from pdistill.core.escape import code

    lines = [f"### pdistill check of {code(report.task)}", "", "| | |", "|---|---|"]
    lines += [f"| {'passed' if each.passed else '**failed**'} | {each.line} |" for each in checks]
    return ("\n".join(lines) + "\n").encode()


def _write(path: Path, content: bytes, append: bool = False) -> None:
    try:
        with path.open("ab" if append else "wb") as file:
            file.write(content)
    except OSError as error:
        raise UsageError(f"can't write '{path}': {(error.strerror or str(error)).lower()}") from None
