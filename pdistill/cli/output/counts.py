"""The counts of a single stage, as text or as JSON, with the command that comes next."""

import shlex
from collections import Counter
from typing import Any

from pdistill.cli.escape import json_text, one_line
from pdistill.core.stages.examples import rejections
from pdistill.core.store.rows import read_rows
from pdistill.core.store.rundir import ARMS, RunDirectory
from pdistill.core.store.settings import TrainSettings


def generated(run: RunDirectory, as_json: bool) -> str:
    """Return the counts of the examples."""
    parts = Counter((row["split"], row.get("rejected") is None) for row in read_rows(run.examples, {"split": str}))
    row: dict[str, Any] = {
        "directory": str(run.path),
        "queries": parts.total(),
        "train": parts["train", True],
        "eval": parts["eval", True],
        "rejected": parts["train", False] + parts["eval", False],
        "rejections": dict(rejections(run).most_common()),
    }
    if as_json:
        return json_text(row)
    return (
        f"{row['queries']:,} queries answered: {row['train']:,} training examples, {row['eval']:,} held out, "
        f"{row['rejected']:,} answers rejected\n{_next(run, 'train')}"
    )


def trained(run: RunDirectory, as_json: bool) -> str:
    """Return the schedule and the loss of the training."""
    settings = run.settings(TrainSettings)
    losses, schedule = [step["loss"] for step in run.metrics().rows()], settings.schedule.as_row()
    row = {
        "directory": str(run.path),
        "student": settings.student,
        "adapter": str(run.adapter),
        **{key: schedule[key] for key in ("rows", "steps", "epochs", "batch_size", "learning_rate")},
        "loss": losses[-1] if losses else None,
    }
    if as_json:
        return json_text(row)
    loss = f"; loss from {losses[0]:.3f} to {losses[-1]:.3f} nats per token" if losses else ""
    return (
        f"{one_line(settings.student)} trained on {row['rows']:,} examples: {row['steps']:,} steps, batch size "
        f"{row['batch_size']:,}, {row['epochs']:,} epochs{loss}\n{_next(run, 'evaluate')}"
    )


def evaluated(run: RunDirectory, as_json: bool) -> str:
    """Return the number of answers of the arms."""
    count = sum(row["split"] == "eval" for row in read_rows(run.examples, {"split": str}))
    if as_json:
        return json_text({"directory": str(run.path), "queries": count, "arms": list(ARMS)})
    return f"{count:,} held-out queries answered by {len(ARMS)} arms\n{_next(run, 'report')}"


def _next(run: RunDirectory, command: str) -> str:
    return f"next: pdistill {command} {one_line(shlex.quote(str(run.path)))}"
