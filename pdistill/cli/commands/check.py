"""`pdistill check`: a gate for continuous integration."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pdistill.cli.escape import json_text, one_line
from pdistill.cli.options import FILE, as_json, the_run
from pdistill.core.errors import RunError, UsageError

if TYPE_CHECKING:
    from pdistill.core.results.check import Checked

SUMMARY = "GITHUB_STEP_SUMMARY"


@click.command()
@the_run
@click.option("--min-agreement", metavar="X", type=click.FloatRange(0, 1), help="Of student and teacher; 0 to 1.")
@click.option("--min-recovery", metavar="X", type=float, help="Of the distance from base to teacher; 1 is all of it.")
@click.option(
    "--config", metavar="FILE.toml", type=FILE, help="Read both from its table [check]; those given here win."
)
@click.option("--junit", metavar="FILE", type=FILE, help="Write the outcome as JUnit XML, too.")
@as_json
def check(run: str, as_json: bool, config: str | None, junit: str | None, **given: float | None) -> None:
    """Fail where a run is not as good as it is asked to be.

    RUN is the folder of a run, or its name under runs/. What counts is the lower bound of the 95 % interval, not the
    figure: so few queries can't pass by luck. Exits with 1 where one falls short. In a GitHub workflow the outcome is
    added to the job's summary.
    """
    from pdistill.cli.plugin_warnings import warn_of_plugins
    from pdistill.cli.progress import showing
    from pdistill.core.results.check import check as hold
    from pdistill.core.results.reporting import report as make_report
    from pdistill.core.setup.configfile import read_thresholds
    from pdistill.core.store.rundir import find_run

    warn_of_plugins()
    directory = find_run(run)
    thresholds = read_thresholds(Path(config)) if config else {}
    thresholds |= {name: value for name, value in given.items() if value is not None}
    with showing():
        report = make_report(directory)
    checked = hold(report, thresholds)
    if junit:
        _write(Path(junit), _junit(report, checked))
    if os.environ.get(SUMMARY):
        _write(Path(os.environ[SUMMARY]), _summary(report, checked), append=True)
    click.echo(json_text(_as_row(checked)) if as_json else "\n".join(_said(each) for each in checked))
    short = [each.what for each in checked if not each.passed]
    if short:
        raise RunError(f"'{directory.path}' falls short in {' and '.join(short)}")


def _said(checked: "Checked") -> str:
    return f"{'passed' if checked.passed else 'failed'}: {checked.line}"


def _as_row(checked: list["Checked"]) -> dict[str, Any]:
    return {
        "passed": all(each.passed for each in checked),
        "checks": [
            {"name": each.what, "threshold": each.threshold, "passed": each.passed, **each.figure} for each in checked
        ],
    }


def _junit(report: Mapping[str, Any], checked: list["Checked"]) -> bytes:
    from junitparser import Failure, JUnitXml, TestCase, TestSuite

    suite = TestSuite("pdistill check")
    for each in checked:
        case = TestCase(f"min-{each.what} {each.threshold:g}", f"pdistill.{one_line(report['task'])}")
        if each.passed:
            case.system_out = each.line
        else:
            case.result = [Failure(each.line)]
        suite.add_testcase(case)
    xml = JUnitXml("pdistill")
    xml.add_testsuite(suite)
    return bytes(xml.tostring())  # type: ignore[no-untyped-call]


def _summary(report: Mapping[str, Any], checked: list["Checked"]) -> bytes:
    from pdistill.core.results.markdown import code

    lines = [f"### pdistill check of {code(report['task'])}", "", "| | |", "|---|---|"]
    lines += [f"| {'passed' if each.passed else '**failed**'} | {each.line} |" for each in checked]
    return ("\n".join(lines) + "\n").encode()


def _write(path: Path, content: bytes, append: bool = False) -> None:
    try:
        with path.open("ab" if append else "wb") as file:
            file.write(content)
    except OSError as error:
        raise UsageError(f"can't write '{path}': {(error.strerror or str(error)).lower()}") from None
