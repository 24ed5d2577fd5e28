"""What a service is paid for twice: the training steps after the checkpoint that a student's training goes on from."""

from pdistill.core.contract.prices import Tokens
from pdistill.core.store.rows import append_row, read_log
from pdistill.core.store.rundir import RunDirectory

LOG = "repeated.jsonl"


def note_repeated(run: RunDirectory, start: int) -> None:
    """Note in repeated.jsonl the steps whose metrics are there and which are trained again after step `start`."""
    dropped = [row for row in run.metrics().rows() if row["step"] > start]
    if dropped:
        tokens = sum(row["sequence_tokens"] for row in dropped)
        append_row(run.path / LOG, {"after": start, "steps": len(dropped), "sequence_tokens": tokens})


def repeated(run: RunDirectory) -> Tokens:
    """Return the tokens of all steps that were trained once more."""
    return Tokens(trained=sum(row["sequence_tokens"] for row in read_log(run.path / LOG)))
