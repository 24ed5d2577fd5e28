"""The last stage: the report is made once, and stands beside the run as JSON, Markdown and a page."""

from typing import Any

from pdistill.core.errors import RunError
from pdistill.core.files import write_file
from pdistill.core.results.markdown import markdown
from pdistill.core.results.page import page
from pdistill.core.results.report import make_report
from pdistill.core.setup.work import work_of
from pdistill.core.store.rundir import RunDirectory

PAGES = {"report.md": markdown, "report.html": page}


def report(directory: RunDirectory) -> dict[str, Any]:
    """Return the run's report; makes report.json, report.md and report.html where one is missing.

    Raises:
        PdistillError: what went wrong, in one line.
    """
    there = directory.read_json("report.json")
    if there is not None and all((directory.path / name).exists() for name in PAGES):
        return there
    generated, trained, evaluated = (directory.stage(name) for name in ("generate", "train", "evaluate"))
    _, work = work_of(directory, generated["settings"]["format"])
    if not directory.evaluated:
        raise RunError(f"'{directory.path}' is not evaluated yet; go on with pdistill evaluate {directory.path}")
    with directory.lock():
        made = make_report(work, directory, generated, trained, evaluated)
        for name, shown in PAGES.items():
            write_file(directory.path / name, shown(made).encode())
        directory.write_json("report.json", made)
    return made
