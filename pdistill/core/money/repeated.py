"""Training steps that a service is paid for twice: those after the checkpoint that training resumes from."""

from pdistill.core.contract.prices import Tokens
from pdistill.core.store.rows import append_row, read_log
from pdistill.core.store.rundir import RunDirectory

LOG = "repeated.jsonl"


def note_repeated(run: RunDirectory, start: int) -> None:
    """Record in repeated.jsonl the steps after step `start` that have metrics already and are trained again."""
    dropped = [row for row in run.metrics().rows() if row["step"] > start]
    if dropped:
        tokens = sum(row["sequence_tokens"] for row in dropped)
        append_row(run.path / LOG, {"after": start, "steps": len(dropped), "sequence_tokens": tokens})


def repeated_tokens(run: RunDirectory) -> Tokens:
    """Return the tokens of all steps that were trained again."""
    return Tokens(trained=sum(row["sequence_tokens"] for row in read_log(run.path / LOG, {"sequence_tokens": int})))
