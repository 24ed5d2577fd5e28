"""The last stage: the report is made once, and stands beside the run as JSON, Markdown and a page."""

from typing import Any

from pdistill.core.errors import RunError
from pdistill.core.files import write_file
from pdistill.core.results.markdown import markdown
from pdistill.core.results.page import page
from pdistill.core.results.report import make_report
from pdistill.core.setup.opened_run import reopen
from pdistill.core.store.rundir import RunDirectory
from pdistill.core.store.settings import EvaluateSettings, TrainSettings

PAGES = {"report.md": markdown, "report.html": page}


def report(directory: RunDirectory) -> dict[str, Any]:
    """Return the run's report; makes report.json, report.md and report.html where one is missing.

    Raises:
        PdistillError: what went wrong, in one line.
    """
    there = directory.read_json("report.json")
    if there is not None and all((directory.path / name).exists() for name in PAGES):
        return there
    run = reopen(directory)
    trained, evaluated = directory.settings(TrainSettings), directory.settings(EvaluateSettings)
    if not directory.evaluated:
        raise RunError(f"'{directory.path}' is not evaluated yet; continue with pdistill evaluate {directory.path}")
    with directory.lock():
        made = make_report(run, trained, evaluated)
        for name, shown in PAGES.items():
            write_file(directory.path / name, shown(made).encode())
        directory.write_json("report.json", made)
    return made
