"""The day that chat templates write: it belongs to the run, so that every stage and the export render the same tokens."""

import json
import re
from datetime import date
from typing import Any

from pdistill.core.contract.interfaces import DATE, MachineSettings

DATE_FUNCTION = "strftime_now"
"""The function by which chat templates write today's date."""
DATE_CALL = re.compile(rf"{DATE_FUNCTION}\(\s*(['\"])(.*?)\1\s*\)")


class RunDay:
    """The day that the chat templates of a backend's models write: the stored one, or else the day when one was first needed."""

    def __init__(self) -> None:
        self._day: date | None = None

    def of(self, tokenizer: Any) -> date | None:
        """Return the day for a tokenizer whose chat template writes the date; None for all others."""
        if DATE_FUNCTION not in str(tokenizer.chat_template):
            return None
        if self._day is None:
            self._day = date.today()
        return self._day

    def with_stored(self, stored: MachineSettings | None) -> MachineSettings | None:
        """Take the day from stored settings, and return the other ones; None where there are none."""
        if stored is None or DATE not in stored:
            return stored
        self._day = date.fromisoformat(stored[DATE])
        return {key: value for key, value in stored.items() if key != DATE} or None

    def added_to(self, settings: MachineSettings) -> MachineSettings:
        """Return the settings, with the day if one was needed."""
        return settings if self._day is None else {**settings, DATE: self._day.isoformat()}


def dated(template: str, day: date) -> str:
    """Return a chat template with a day in place of today's date, wherever the form of the date is a constant."""
    return DATE_CALL.sub(lambda call: json.dumps(day.strftime(call[2])), template)


def writes_today(template: str) -> bool:
    """Return whether a chat template writes the date of the day on which it is rendered."""
    return DATE_FUNCTION in template.replace(f"{DATE_FUNCTION} is defined", "")
