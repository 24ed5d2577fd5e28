"""Runs whose answers to the probes the tests write themselves."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pdistill.core.contract.task import FileTask
from pdistill.core.probes.questions import probe_rows
from pdistill.core.store.answerrow import AnswerRow
from pdistill.core.store.rows import write_rows
from pdistill.core.store.rundir import RunDirectory


def task_with(prompt: str) -> FileTask:
    """Return a task that has this prompt, and whose student is asked in a chat."""
    task = FileTask(("red", "blue"))
    task.prompt = prompt
    return task


def planted(folder: Path, task: FileTask, answers: Mapping[str, Sequence[str]]) -> RunDirectory:
    """Return a run in which each file, such as "probes-leakage-student", holds these answers."""
    folder.mkdir(exist_ok=True)
    run = RunDirectory(folder)
    write_rows(run.probes, probe_rows(task), run.seal)
    for name, texts in answers.items():
        rows = (AnswerRow(at, str(at), "", "", text, "stop", 1, 1).as_row() for at, text in enumerate(texts))
        write_rows(folder / f"{name}.jsonl", rows, run.seal)
    return run
