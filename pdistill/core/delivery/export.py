"""Exports the student as a model directory for other tools, verified against the recorded answers."""

import json
from dataclasses import asdict
from pathlib import Path

from pdistill.core.contract.exporter import Asked, Exporter, ExportSpec, LoadedExport
from pdistill.core.contract.interfaces import ADAPTER, RemoteStudent
from pdistill.core.contract.prompts import QUERY_FIELD, Messages
from pdistill.core.contract.queries import Query
from pdistill.core.delivery.ask import TrainedStudent, trained_student
from pdistill.core.delivery.card import ADAPTER_CONFIG, Parity, card
from pdistill.core.errors import BackendError, RunError, UsageError
from pdistill.core.files import digest, new_directory
from pdistill.core.progress import Progress, Silent
from pdistill.core.results.reporting import read_report
from pdistill.core.store.answerrow import AnswerRow
from pdistill.core.store.heldout import HeldOut
from pdistill.core.store.rows import read_records
from pdistill.core.store.rundir import RunDirectory
from pdistill.core.version import versions

MIN_PARITY = 0.99
"""The minimum fraction of equal answers if the student answered in another precision than its export, or on a service."""
RECORD = "export.json"
BASE_KEY = "base_model_name_or_path"


def export(
    run: RunDirectory,
    directory: Path,
    *,
    merge: bool = False,
    min_parity: float | None = None,
    progress: Progress | None = None,
) -> Parity:
    """Write the student into `directory`, loadable without pdistill, and return how its answers compare.

    Args:
        directory: a new or empty directory.
        merge: whether to merge the adapter into the base model.
        min_parity: the minimum fraction of equal answers; None: all if the run computed in float32, else 0.99.

    Raises:
        UsageError: the directory is not empty.
        RunError: the run has no evaluated student, or the directory can't be written.
        BackendError: the student can't be exported, or the export gives other answers; nothing is left behind.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UsageError(f"'{directory}' already exists; name a new directory, or remove it")
    if not run.evaluated:
        raise RunError(f"'{run.path}' is not evaluated yet; continue with pdistill evaluate {run.path}")
    trained = trained_student(run)
    exporter = exporter_of(trained)
    with new_directory(directory.absolute()) as folder:
        return _write(run, trained, exporter, folder, merge, min_parity, progress or Silent())


def exporter_of(trained: TrainedStudent) -> Exporter:
    """Return the student as one that can be exported.

    Raises:
        BackendError: its backend has no exports, or its weights are only on a service.
    """
    student: object = trained.student
    if isinstance(student, RemoteStudent):
        student = student.local_copy()
        if student is None:
            raise BackendError(
                f"student '{trained.student.id}' is only on its service: its adapter was not checked against the base model on "
                "this machine; see pdistill report for the reason"
            )
    if not isinstance(student, Exporter):
        raise BackendError(f"the backend of student '{trained.student.id}' can't export; see pdistill backends")
    return student


def _write(
    run: RunDirectory,
    trained: TrainedStudent,
    exporter: Exporter,
    directory: Path,
    merge: bool,
    min_parity: float | None,
    progress: Progress,
) -> Parity:
    form = ExportSpec(trained.task.student_prompt(Query(QUERY_FIELD)), trained.sampling.max_tokens, merge)
    exporter.write_export(ADAPTER, form, directory)
    with exporter.read_export(directory) as exported:
        parity = _compare(run, trained, exported, progress)
    exact = exporter.exact and not isinstance(trained.student, RemoteStudent)
    least = min_parity if min_parity is not None else 1.0 if exact else MIN_PARITY
    if parity.equal < least * parity.queries:
        raise BackendError(
            f"the export reproduced only {parity.equal:,} of {parity.queries:,} held-out answers of the evaluated student, "
            f"and {least:.2%} are required; nothing was exported; lower the threshold with --min-parity"
        )
    if isinstance(trained.student, RemoteStudent) and not merge:
        _name_base(run.adapter / ADAPTER_CONFIG, directory / ADAPTER_CONFIG)
    record = {"schema": 1, "merged": merge, **asdict(parity), "adapter": adapter_hashes(run), "versions": versions()}
    (directory / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    page = card(read_report(run), directory, parity, trained.sampling)
    (directory / "README.md").write_text(page, encoding="utf-8")
    return parity


def _name_base(named: Path, exported: Path) -> None:
    """Write the service's name of the base model, instead of its path on this machine."""
    config = json.loads(exported.read_text(encoding="utf-8"))
    config[BASE_KEY] = json.loads(named.read_text(encoding="utf-8"))[BASE_KEY]
    exported.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _compare(run: RunDirectory, trained: TrainedStudent, exported: LoadedExport, progress: Progress) -> Parity:
    """Return how the export's answers compare with the recorded ones.

    Raises:
        BackendError: the export's prompts have other tokens than those the student was trained on.
    """
    renderer, task = trained.student.renderer(), trained.task
    queries = [query for query, _ in HeldOut(run)]
    for query in queries:
        if list(exported.prompt_ids(as_asked(query))) != list(renderer.prompt_ids(task.student_prompt(query))):
            raise BackendError(
                f"no chat template can be made for this student: the prompt of query {query.id!r} would have other tokens "
                "than in the run; nothing was exported"
            )
    recorded = list(read_records(AnswerRow, run.check(run.predictions("student").path)))
    progress.begin("compare", len(queries), 0, "answers")
    equal = stopped = 0
    for place, answer in exported.answers([as_asked(query) for query in queries]):
        text, cut = trained.sampling.cut(answer.text)
        same = (text, "stop" if cut else answer.finish) == (recorded[place].response, recorded[place].finish)
        equal, stopped = equal + same, stopped + (same and cut)
        progress.advance()
    progress.end()
    return Parity(len(queries), equal, stopped)


def as_asked(query: Query) -> Asked:
    """Return a query as users of the student ask it: its text, or all turns of its conversation."""
    return Messages(query.turns) if query.earlier else query.tagged


def adapter_hashes(run: RunDirectory) -> dict[str, str]:
    """Return the hashes of the adapter's files, which identify the training run of an export."""
    return {path.name: digest(path) for path in sorted(run.adapter.iterdir())}
