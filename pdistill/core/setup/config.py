"""What a run is asked to do: one flat set of options, the same by flags, by TOML file and from Python."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pdistill.core.contract.likeness import Likeness
from pdistill.core.contract.options import build
from pdistill.core.contract.prompts import Format
from pdistill.core.contract.targets import Select
from pdistill.core.errors import UsageError

Objective = Literal["hard"]
VALID = {"labels": "--labels", "pattern": "--pattern", "json_schema": "--json-schema"}
"""The options that say which answers are valid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The options of a run; None means the default of the task, the model or the backend.

    Args:
        task: the task's name; None: the task is made of `prompt` and `queries`.
        task_options: the task's own options.
        prompt: a file that holds the prompt, instead of the task's own; or a folder of several, NAME.txt each.
        queries: a .txt, .jsonl, .csv or .parquet file, instead of the task's own queries.
        columns: the file's own names of the columns query, messages, id, reference, slices, group and prompt.
        labels: the answers that count, for a task made of files.
        agreement: how answers are compared that are no labels, for a task made of files; None: they must be equal.
        pattern: a regular expression that all of an answer must match, for a task made of files.
        json_schema: a file with the JSON schema that an answer must keep to, for a task made of files.
        answer_after: the text that a response says before its answer, for a task made of files; None: all of it is the answer.
        keep_reasoning: the student learns the response as a whole, and not the answer alone.
        constrain: whether the teacher can say nothing but a label, a match of the pattern or JSON of the schema.
        format: chat messages or plain text, for both sides.
        student_prompt: a file with the student's frame, in which `{query}` stands for the query.
        stop: texts that end an answer.
        backend: who runs the models that name no backend of their own.
        backend_options: options of the backends; a key that begins with "teacher." or "student." is for one side.
        teacher: the model that answers under the prompt, as [BACKEND:]MODEL.
        student: the model that is trained, as [BACKEND:]MODEL; None: the teacher's.
        objective: what the student is trained on.
        run_dir: the run's own folder; None: runs/TASK.
        limit: how many queries are taken.
        seed: of the split, the order of batches, the adapter's start and sampled answers.
        temperature: of the teacher's answers; 0 is greedy.
        top_p: the share of probability that the teacher's answers are drawn from.
        max_tokens: the longest answer, in tokens.
        samples: teacher answers a query, of which one is learnt.
        select: which one: the commonest, or the best by the task's score, ties to the commonest.
        min_confidence: the share of a query's answers that must say what is learnt; others are not trained on.
        learning_rate: of the first step; it falls linearly to 0.
        epochs: passes over the examples.
        batch_size: examples a step.
        rank: of the LoRA adapter.
        from_run: a run whose responses are reused where prompt, query, model and sampling are equal.
        warm_start: whether the training begins with the student of `from_run`, instead of anew.
        force: go on even where there seems to be nothing to distil, or the teacher's answers are mostly unusable.
        max_cost: USD that the run must not pass, with all its stages and interruptions.
    """

    task: str | None = None
    task_options: Mapping[str, Any] = field(default_factory=dict)
    prompt: Path | None = None
    queries: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] | None = None
    agreement: Likeness | None = None
    pattern: str | None = None
    json_schema: Path | None = None
    answer_after: str | None = None
    keep_reasoning: bool = False
    constrain: bool = False
    format: Format | None = None
    student_prompt: Path | None = None
    stop: tuple[str, ...] = ()
    backend: str = "local"
    backend_options: Mapping[str, Any] = field(default_factory=dict)
    teacher: str | None = None
    student: str | None = None
    objective: Objective = "hard"
    run_dir: Path | None = None
    limit: int | None = None
    seed: int = 0
    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int | None = None
    samples: int = 1
    select: Select = "commonest"
    min_confidence: float | None = None
    learning_rate: float | None = None
    epochs: int | None = None
    batch_size: int | None = None
    rank: int = 32
    from_run: Path | None = None
    warm_start: bool = False
    force: bool = False
    max_cost: float | None = None

    def __post_init__(self) -> None:
        """Check what needs no file and no plugin; a path may be given as a text, and a tuple as a list.

        Raises:
            UsageError: a value is out of range, or two options contradict each other.
        """
        self._tidy()
        self._check_ranges()
        self._check_answers()
        if self.agreement is not None and (self.task or self.labels):
            has = f"--task {self.task}, which has its own" if self.task else "--labels, which are equal or not"
            raise UsageError(f"--agreement {self.agreement} goes with --prompt and --queries, not with {has}")
        if self.task is not None and self.answer_after is not None:
            raise UsageError(
                f"--answer-after goes with --prompt and --queries; the task {self.task} reads answers by itself"
            )
        if self.task is None and (self.prompt is None or self.queries is None):
            missing = "--prompt" if self.prompt is None else "--queries"
            other = "--queries" if self.prompt is None else "--prompt"
            if self.prompt is None and self.queries is None:
                raise UsageError(
                    "there is no task; give --task NAME (see pdistill tasks), or --prompt FILE and --queries FILE"
                )
            raise UsageError(f"{missing} is missing; without --task, {other} goes with {missing} FILE")
        if self.columns and self.queries is None:
            raise UsageError("--column names columns of a file of queries; give it by --queries FILE")
        if self.keep_reasoning and self.answer_after is None:
            raise UsageError("--keep-reasoning needs --answer-after TEXT, the text that stands before the answer")
        if self.constrain and self.answer_after is not None:
            raise UsageError("--constrain lets the teacher say its answer alone; leave it or --answer-after out")
        self._check_samples()

    def _check_samples(self) -> None:
        if self.samples > 1 and self.temperature == 0:
            raise UsageError(f"--samples {self.samples} needs a --temperature above 0: greedy answers are all the same")
        if self.min_confidence is not None and not 0 < self.min_confidence <= 1:
            raise UsageError(f"--min-confidence {self.min_confidence} is not above 0 and at most 1")
        for option, set_ in (("--select best", self.select == "best"), ("--min-confidence", self.min_confidence)):
            if set_ and self.samples == 1:
                raise UsageError(
                    f"{option} chooses among several answers; give --samples N and a --temperature above 0"
                )

    def _tidy(self) -> None:
        for name in (*FILE_KEYS, "run_dir", "from_run"):
            value: Any = getattr(self, name)
            if isinstance(value, str):
                object.__setattr__(self, name, Path(value))
        for name in ("labels", "stop"):
            value = getattr(self, name)
            if isinstance(value, list | str):
                object.__setattr__(self, name, (value,) if isinstance(value, str) else tuple(value))

    def _check_answers(self) -> None:
        """Check what says which answers are valid."""
        given = [flag for name, flag in VALID.items() if getattr(self, name) is not None]
        if self.task is not None and given:
            raise UsageError(
                f"{given[0]} goes with --prompt and --queries, not with --task {self.task}, which has its own"
            )
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)} can't both hold; say by one of them which answers are valid")

    def _check_ranges(self) -> None:
        positive = ("limit", "max_tokens", "samples", "learning_rate", "epochs", "batch_size", "rank", "max_cost")
        for name in positive:
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise UsageError(f"--{name.replace('_', '-')} {value} is not a number above 0")
        if not 0 <= self.temperature < math.inf:
            raise UsageError(f"--temperature {self.temperature} is not 0 or a number above it")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"--top-p {self.top_p} is not above 0 and at most 1")
        check_labels(self.labels)
        if self.answer_after is not None and not self.answer_after.strip():
            raise UsageError("--answer-after is empty; give the text that stands before the answer")
        if any(not stop for stop in self.stop):
            raise UsageError("--stop is empty; give the text that ends an answer")

    @property
    def name(self) -> str:
        """The task's name, or the prompt file's."""
        return self.task or (self.prompt.stem if self.prompt else "")

    @property
    def directory(self) -> Path:
        """The run's folder."""
        return self.run_dir or Path("runs") / self.name

    def asked(self) -> dict[str, Any]:
        """Return the options as plain JSON values, without what can't change a row."""
        return {key: _plain(getattr(self, key)) for key in OPTION_KEYS}


def check_labels(labels: tuple[str, ...] | None) -> None:
    """Guarantee that labels, if there are some, can be told apart.

    Raises:
        UsageError: one is empty or there twice.
    """
    if labels is not None and (len(set(labels)) < len(labels) or not all(labels)):
        raise UsageError(f"--labels {','.join(labels)} has an empty label or one twice")


GENERATE_KEYS = (
    "task", "task_options", "labels", "agreement", "pattern", "answer_after", "keep_reasoning", "constrain", "format",
    "stop", "backend", "backend_options", "teacher", "limit", "seed", "temperature", "top_p", "max_tokens", "samples",
    "select", "min_confidence",
)  # fmt: skip
TRAIN_KEYS = ("student", "objective", "learning_rate", "epochs", "batch_size", "rank", "warm_start")
FILE_KEYS = ("prompt", "queries", "student_prompt", "json_schema")
OPTION_KEYS = (*GENERATE_KEYS, *TRAIN_KEYS, *FILE_KEYS, "columns")


def config_from(values: Mapping[str, Any]) -> Config:
    """Return the options that these values give, coerced to their types.

    Raises:
        UsageError: an unknown key, with the nearest; a value of the wrong type or out of range.
    """
    return build(Config, values, "the configuration")


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in sorted(value.items())}
    return value
