"""Checks of options that need more than one of them, or more than a range."""

from pathlib import Path
from typing import TYPE_CHECKING

from pdistill.core.errors import UsageError

if TYPE_CHECKING:
    from pdistill.core.setup.config import Config

VALID = {"labels": "--labels", "pattern": "--pattern", "json_schema": "--json-schema"}
"""The options that say which answers are valid."""


def check_together(config: "Config") -> None:
    """Guarantee that the options of a run can be used together.

    Raises:
        UsageError: two contradict each other, one needs another, or a text is empty.
    """
    _check_texts(config)
    _check_answers(config)
    _check_task(config)
    if config.columns and config.queries is None:
        raise UsageError("--column names columns of a queries file; give the file with --queries FILE")
    _check_held_out(config.held_out)
    _check_reasoning(config)
    _check_samples(config)


def check_labels(labels: tuple[str, ...] | None) -> None:
    """Guarantee that labels, if there are any, can be told apart.

    Raises:
        UsageError: one is empty, or there twice.
    """
    if labels is not None and (len(set(labels)) < len(labels) or not all(labels)):
        raise UsageError(f"--labels {','.join(labels)} contains an empty label or the same label twice")


def _check_texts(config: "Config") -> None:
    check_labels(config.labels)
    if config.answer_after is not None and not config.answer_after.strip():
        raise UsageError("--answer-after is empty; give the text that precedes the answer")
    if not all(config.stop):
        raise UsageError("--stop is empty; give the text that ends an answer")


def _check_answers(config: "Config") -> None:
    """Check the options that say which answers are valid, and how they are compared."""
    valid = [flag for name, flag in VALID.items() if getattr(config, name) is not None]
    if config.task is not None and valid:
        raise UsageError(
            f"{valid[0]} can only be used with --prompt and --queries: the task {config.task} defines its own answers"
        )
    if len(valid) > 1:
        raise UsageError(f"{' and '.join(valid)} are mutually exclusive")
    if config.agreement is not None and (config.task or config.labels):
        other = f"--task {config.task}, which defines its own" if config.task else "--labels, which are equal or not"
        raise UsageError(f"--agreement {config.agreement} can't be used with {other}")
    if config.task is not None and config.answer_after is not None:
        raise UsageError(
            f"--answer-after can only be used with --prompt and --queries: the task {config.task} reads answers itself"
        )


def _check_task(config: "Config") -> None:
    if config.task is not None or (config.prompt is not None and config.queries is not None):
        return
    if config.prompt is None and config.queries is None:
        raise UsageError("no task given; give --task NAME (see pdistill tasks), or --prompt FILE and --queries FILE")
    missing, other = ("--prompt", "--queries") if config.prompt is None else ("--queries", "--prompt")
    raise UsageError(f"{missing} is missing; without --task, {other} needs {missing} FILE")


def _check_held_out(held_out: float | Path | None) -> None:
    if isinstance(held_out, int | float) and not (0 < held_out < 1 or (isinstance(held_out, int) and held_out >= 1)):
        raise UsageError(
            f"invalid value {held_out} for --held-out: must be a number of queries, a share between 0 and 1, or a file"
        )


def _check_reasoning(config: "Config") -> None:
    if config.keep_reasoning and config.answer_after is None:
        raise UsageError("--keep-reasoning needs --answer-after TEXT, the text that precedes the answer")
    if config.constrain and config.answer_after is not None:
        raise UsageError(
            "--constrain and --answer-after are mutually exclusive: constrained decoding leaves no room for reasoning"
        )


def _check_samples(config: "Config") -> None:
    if config.samples > 1 and config.temperature == 0:
        raise UsageError(f"--samples {config.samples} needs a --temperature above 0: greedy answers are all the same")
    for flag, is_set in (("--select best", config.select == "best"), ("--min-confidence", config.min_confidence)):
        if is_set and config.samples == 1:
            raise UsageError(f"{flag} needs several samples per query; give --samples N and a --temperature above 0")
