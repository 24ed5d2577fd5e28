"""The export of the trained student to adapter/; an adapter that a service trained is checked against the service."""

import json
from collections.abc import Sequence
from pathlib import Path

from pdistill.core.contract.batches import TokenIds
from pdistill.core.contract.interfaces import RemoteStudent, Trainer
from pdistill.core.contract.prices import Tokens
from pdistill.core.contract.sampling import Key, Request
from pdistill.core.files import new_directory
from pdistill.core.money.cost import check_tokens
from pdistill.core.stages.examples import TrainingRows
from pdistill.core.stages.training import Training
from pdistill.core.store.example import Example
from pdistill.core.store.rows import RowIndex
from pdistill.core.store.rundir import REMOTE_NOTE, RunDirectory

MAX_CHECK_EXAMPLES = 32
"""The most held-out examples that an export is checked with."""

CheckExamples = Sequence[tuple[Request, TokenIds]]


def export_student(training: Training, trainer: Trainer) -> None:
    """Guarantee that adapter/ holds the student; it is created as a whole or not at all.

    Raises:
        RunError: the check of a student that a service trained could exceed the spending limit of the run.
    """
    run, student, rows, budget = training.run, training.student, training.rows, training.budget
    examples = _held_out(run, rows) if isinstance(student, RemoteStudent) else []
    most = _at_most(examples, rows)
    if not budget.reserve("student", most):
        raise budget.limit_error("student", most, "the check of the adapter")
    used = Tokens()
    try:
        with new_directory(run.adapter) as folder:
            weights = trainer.save_weights("final").result()
            trainer.export(weights, folder)
            if isinstance(student, RemoteStudent):
                training.progress.say(student.check_export(weights, folder, examples))
                used = _used(folder)
            student.release(weights)
    finally:
        budget.charge("student", most, used)


def _at_most(examples: CheckExamples, rows: TrainingRows) -> Tokens:
    """Return the tokens that scoring the examples takes; a service samples one token per example."""
    prompt = sum(len(rows.renderer.prompt_ids(request.prompt)) + len(target) for request, target in examples)
    return Tokens(prompt=prompt, sampled=len(examples))


def _used(adapter: Path) -> Tokens:
    note = adapter / REMOTE_NOTE
    return check_tokens(json.loads(note.read_bytes()) if note.exists() else None)


def _held_out(run: RunDirectory, rows: TrainingRows) -> list[tuple[Request, TokenIds]]:
    """Return the first held-out examples as requests to the student, with the ids of their targets."""
    requests = []
    with RowIndex(Example, run.examples, lambda example: example.evaluable) as examples:
        for place in range(min(MAX_CHECK_EXAMPLES, len(examples))):
            example = examples[place]
            query = rows.queries[example.number]
            prompt = rows.task.student_prompt(query)
            requests.append(
                (Request(Key(query.number), prompt), rows.renderer.target_ids(prompt, example.target or ""))
            )
    return requests
