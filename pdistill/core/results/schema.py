"""The published form of report.json, checked by pydantic.

pydantic is slow to import, so this module is imported only when a report is written.
"""

import json
from collections.abc import Mapping

from pydantic import ConfigDict, TypeAdapter, with_config

from pdistill.core.results.report import Report

STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True)
FORM: TypeAdapter[Report] = TypeAdapter(with_config(STRICT)(Report))


def require_form(row: Mapping[str, object]) -> None:
    """Guarantee that the row of a report has the published form.

    Raises:
        pydantic.ValidationError: it does not, which is a mistake of pdistill or of a plugin.
    """
    FORM.validate_json(json.dumps(row, ensure_ascii=False).encode("utf-8", "replace"))
