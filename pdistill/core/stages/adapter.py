"""The trained student leaves its trainer as adapter/; one that a service trained is compared with it first."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pdistill.core.contract.batches import TokenIds
from pdistill.core.contract.interfaces import RemoteStudent, Trainer
from pdistill.core.contract.prices import Tokens
from pdistill.core.contract.queries import Query
from pdistill.core.contract.sampling import Key, Request
from pdistill.core.files import storage_error
from pdistill.core.money.cost import of_check
from pdistill.core.store.rows import Row, RowIndex
from pdistill.core.store.rundir import REMOTE_NOTE, RunDirectory

if TYPE_CHECKING:
    from pdistill.core.stages.examples import TrainingRows
    from pdistill.core.stages.training import Training

CHECKED = 32
"""Held-out examples that an export is checked with."""

Examples = Sequence[tuple[Request, TokenIds]]


def export_student(training: "Training", trainer: Trainer) -> None:
    """Guarantee that adapter/ holds the student; it appears whole or not at all.

    Raises:
        RunError: the check of a student that a service trained could pass the limit of what the run may cost.
    """
    run, student, rows, budget = training.run, training.student, training.rows, training.budget
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
            training.progress.say(student.check_export(weights, part, examples))
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
            query = Query.from_row(rows.queries[example["number"]])
            prompt = rows.task.student_prompt(query)
            request = Request(Key(query.number), prompt)
            found.append((request, rows.renderer.target_ids(prompt, example["target"])))
    return found
