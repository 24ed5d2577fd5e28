"""The trained student leaves its trainer as adapter/; one that a service trained is compared with it first."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pdistill.core.batches import TokenIds
from pdistill.core.budget import Budget
from pdistill.core.cost import of_check
from pdistill.core.interfaces import RemoteStudent, Student, Trainer
from pdistill.core.prices import Tokens
from pdistill.core.progress import Progress
from pdistill.core.queries import query_from_row
from pdistill.core.rows import Row, RowIndex, storage_error
from pdistill.core.rundir import REMOTE_NOTE, RunDirectory
from pdistill.core.sampling import Key, Request

if TYPE_CHECKING:
    from pdistill.core.train import TrainingRows

CHECKED = 32
"""Held-out examples that an export is checked with."""

Examples = Sequence[tuple[Request, TokenIds]]


def export_student(
    run: RunDirectory, trainer: Trainer, student: Student, rows: "TrainingRows", budget: Budget, progress: Progress
) -> None:
    """Guarantee that adapter/ holds the student; it appears whole or not at all.

    Raises:
        RunError: the check of a student that a service trained could pass the limit of what the run may cost.
    """
    part = run.path / "adapter.part"
    examples = _held_out(run, rows) if isinstance(student, RemoteStudent) else []
    most = _at_most(examples, rows)
    if not budget.reserve("student", most):
        raise budget.reached("student", most, "the check of the adapter")
    used = Tokens()
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        weights = trainer.save_weights("final").result()
        trainer.export(weights, part)
        if isinstance(student, RemoteStudent):
            progress.say(student.check_export(weights, part, examples))
            used = _used(part)
        student.release(weights)
        part.replace(run.adapter)
    except OSError as error:
        raise storage_error(error, part) from None
    finally:
        budget.settle("student", most, used)


def _at_most(examples: Examples, rows: "TrainingRows") -> Tokens:
    """Return what the examples cost where they are scored; a service draws a token for each."""
    asked = sum(len(rows.renderer.prompt_ids(request.prompt)) + len(target) for request, target in examples)
    return Tokens(prompt=asked, sampled=len(examples))


def _used(adapter: Path) -> Tokens:
    note = adapter / REMOTE_NOTE
    return of_check(json.loads(note.read_bytes()) if note.exists() else None)


def _held_out(run: RunDirectory, rows: "TrainingRows") -> list[tuple[Request, TokenIds]]:
    """Return the first held-out examples as the student is asked, with the ids of their targets."""

    def held_out(row: Row) -> bool:
        return row["split"] == "eval" and row["target"] is not None

    found = []
    with RowIndex(run.examples, held_out) as examples:
        for place in range(min(CHECKED, len(examples))):
            example = examples[place]
            query = query_from_row(rows.queries[example["number"]])
            prompt = rows.task.student_prompt(query)
            request = Request(Key(query.number), prompt)
            found.append((request, rows.renderer.target_ids(prompt, example["target"])))
    return found
