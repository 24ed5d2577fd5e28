"""What report.json holds, as types: they check every report before it is written, and are published as a JSON schema.

pydantic is slow to import, so this module is imported where a report is made and not before.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from pdistill.core.results.reportparts import (
    Amount,
    Arms,
    By,
    Confusions,
    Cost,
    Count,
    Disagreements,
    Figures,
    Groups,
    Interval,
    Judgement,
    Made,
    Numbers,
    Part,
    Seconds,
    Tokens,
    Training,
)
from pdistill.core.results.reportprobes import Probes


class Report(Part):
    """What report.json holds."""

    number: Literal[1] = Field(alias="schema")
    """Keys may be added under the same number; a key never changes its meaning."""
    task: str
    objective: str
    """What the student was trained on."""
    teacher: str
    """The model, as BACKEND:MODEL."""
    student: str
    """The model, as BACKEND:MODEL."""
    n: Numbers
    rejections: dict[str, Count]
    """How often each reason occurs."""
    groups: Groups
    arms: Arms
    recovery: Interval
    """(student - base) / (teacher - base); null where the teacher is no better than the base."""
    recovery_in: By
    differences: dict[str, Figures]
    """How much better the student, without the prompt, is than each of these arms."""
    same_model: bool
    """Whether the base is the teacher's own model, run in the same way at temperature 0."""
    greedy_teacher: bool
    """Whether the teacher's agreement with itself is 1 by definition."""
    tokens: Tokens
    cost: Cost
    worse_slices: dict[str, Amount]
    """Slices that are worse than all other queries by more than chance, each with its corrected p-value."""
    confusions: Confusions | None
    """Null where answers are no labels."""
    disagreements: Disagreements
    probes: Probes | None
    """Null in a run that was begun without probes."""
    preflight: dict[str, Any] | None
    """What preflight.json holds."""
    judge: Judgement | None
    """What a judge model says; null where none was asked."""
    training: Training
    loss: list[Annotated[list[float], Field(min_length=2, max_length=2)]]
    """The training curve: [step, nats a trained token]."""
    made: Made
    remote: dict[str, Any] | None
    """What adapter/remote.json says of a student that a service trained."""
    seconds: Seconds


def require_form(report: Mapping[str, Any]) -> None:
    """Guarantee that a report has the published form.

    Raises:
        pydantic.ValidationError: it has not, which is a mistake of pdistill's or of a plugin's.
    """
    Report.model_validate_json(json.dumps(report, ensure_ascii=False).encode("utf-8", "replace"))
