"""A report.json that version 0.1 wrote, of a run that learnt little and was judged; three of its disagreements are kept."""

import json
from pathlib import Path
from typing import Any

from pdistill.core.results.report import Report
from pdistill.core.results.reporting import report_from


def stored_row() -> dict[str, Any]:
    row = json.loads((Path(__file__).parent / "report-0.1.json").read_text("utf-8"))
    assert isinstance(row, dict)
    return row


def stored_report() -> Report:
    return report_from(stored_row())
