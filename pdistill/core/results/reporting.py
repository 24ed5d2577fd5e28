"""The last stage: the report is made once, and is stored in the run as JSON, Markdown and a page."""

from collections.abc import Mapping
from dataclasses import asdict

from pdistill.core.contract.jsontext import JsonObject
from pdistill.core.errors import RunError
from pdistill.core.files import write_file
from pdistill.core.results.build import make_report
from pdistill.core.results.markdown import markdown
from pdistill.core.results.page import page
from pdistill.core.results.report import Report
from pdistill.core.setup.opened_run import reopen
from pdistill.core.store.records import from_row
from pdistill.core.store.rundir import RunDirectory
from pdistill.core.store.settings import EvaluateSettings, TrainSettings

PAGES = ("report.md", "report.html")


def report(directory: RunDirectory) -> JsonObject:
    """Return what report.json holds; makes report.json, report.md and report.html if one is missing.

    Raises:
        PdistillError: what went wrong, in one line.
    """
    stored = directory.read_json("report.json")
    if stored is not None and all((directory.path / name).exists() for name in PAGES):
        return stored
    run = reopen(directory)
    trained, evaluated = directory.settings(TrainSettings), directory.settings(EvaluateSettings)
    if not directory.evaluated:
        raise RunError(f"'{directory.path}' is not evaluated yet; continue with pdistill evaluate {directory.path}")
    from pdistill.core.results.schema import require_form

    with directory.lock():
        made = make_report(run, trained, evaluated)
        row = asdict(made)
        require_form(row)
        for name, text in zip(PAGES, (markdown(made), page(made, run.task.prompt)), strict=True):
            write_file(directory.path / name, text.encode())
        directory.write_json("report.json", row)
    return row


def read_report(directory: RunDirectory) -> Report:
    """Return the run's report, made if it is missing.

    Raises:
        PdistillError: what went wrong, in one line.
    """
    return report_from(report(directory))


def report_from(row: Mapping[str, object]) -> Report:
    """Return the report that a row of report.json holds.

    Raises:
        RunError: it is not a row of a report.
    """
    try:
        return from_row(Report, row)
    except ValueError as error:
        raise RunError(
            f"report.json was edited or damaged ({error}); remove it, and run pdistill report again"
        ) from None
