"""The settings that a stage resolved when it was first opened: generate.json, train.json and evaluate.json as types."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import ClassVar, Protocol, Self

from pdistill.core.contract.interfaces import Resolved
from pdistill.core.contract.jsontext import Row
from pdistill.core.contract.prompts import Format
from pdistill.core.contract.sampling import Allowed, Sampling
from pdistill.core.contract.targets import Select
from pdistill.core.numerics.schedule import Schedule


class StageSettings(Protocol):
    """The settings of one stage, stored in a JSON file."""

    STAGE: ClassVar[str]
    """The name of the stage, and of its file without the suffix."""

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Return the settings in the content of the file."""

    def as_row(self) -> dict[str, object]:
        """Return the content of the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateSettings:
    """The settings of the generate stage.

    Args:
        task: the name of the task.
        teacher: the model, as BACKEND:MODEL, as is `student`.
        format: chat messages or plain text.
        seed: of the split, the order of batches, the initial adapter and sampled answers.
        held_out: the fraction of the queries that is held out, below 1, or their number; None: as in runs up to version 0.1.
        count: the number of queries.
        samples: answers per query.
        select: how the one that is learnt is selected.
        min_confidence: the fraction of the samples below which a target is not learnt, or None.
        temperature: of the teacher's answers.
        top_p: the probability mass that nucleus sampling keeps.
        max_tokens: tokens after which an answer is cut off.
        stop: texts that end an answer.
        stop_at_newline: whether the first newline after a character that is not whitespace ends an answer too.
        constrain: what the teacher's decoding is constrained to, or None.
        renderer: the identity of the teacher's renderer, or None where only the service knows its tokenizer.
        resolved: what depends on the machine, by side.
    """

    STAGE: ClassVar = "generate"

    task: str
    teacher: str
    student: str
    format: Format
    seed: int
    held_out: float | None
    count: int
    samples: int
    select: Select
    min_confidence: float | None
    temperature: float
    top_p: float
    max_tokens: int
    stop: tuple[str, ...]
    stop_at_newline: bool
    constrain: Allowed | None
    renderer: Mapping[str, str] | None
    resolved: Resolved

    @property
    def sampling(self) -> Sampling:
        """How the teacher's unconstrained answers are sampled."""
        return Sampling(self.temperature, self.top_p, self.max_tokens, self.stop, self.stop_at_newline)

    @property
    def teacher_sampling(self) -> Sampling:
        """How the teacher's answers that become examples are sampled."""
        return replace(self.sampling, allowed=self.constrain)

    @property
    def greedy_sampling(self) -> Sampling:
        """How the answers of base and student are sampled."""
        return replace(self.sampling, temperature=0.0, top_p=1.0)

    @property
    def repeatable(self) -> bool:
        """Whether the teacher would answer as an arm just as it did before: its decoding is greedy and unconstrained."""
        return self.temperature == 0 and self.constrain is None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Return the settings in the content of generate.json."""
        values = dict(row["settings"])
        constrain = values.pop("constrain", None)
        values.setdefault("held_out", None)
        return cls(
            task=row["task"],
            stop=tuple(values.pop("stop")),
            stop_at_newline=values.pop("first_line"),
            constrain=None if constrain is None else Allowed.from_row(constrain),
            resolved=row["resolved"],
            **values,
        )

    def settings_row(self) -> dict[str, object]:
        """Return only the settings, as in generate.json."""
        return {
            "teacher": self.teacher,
            "student": self.student,
            "format": self.format,
            "seed": self.seed,
            "held_out": self.held_out,
            "count": self.count,
            "samples": self.samples,
            "select": self.select,
            "min_confidence": self.min_confidence,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_tokens": self.max_tokens,
            "stop": list(self.stop),
            "first_line": self.stop_at_newline,
            "constrain": None if self.constrain is None else self.constrain.as_row(),
            "renderer": self.renderer,
        }

    def as_row(self) -> dict[str, object]:
        """Return the content of generate.json."""
        return {"task": self.task, "settings": self.settings_row(), "resolved": self.resolved}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """The training options that the user gave; None is the model's own default.

    Args:
        student: the model, as [BACKEND:]MODEL; None: the run's.
        warm_start: whether training starts from the student of `--from`.
    """

    student: str | None
    objective: str
    learning_rate: float | None
    epochs: int | None
    batch_size: int | None
    rank: int
    warm_start: bool

    def as_row(self) -> dict[str, object]:
        """Return the options by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """The settings of the train stage.

    Args:
        student: the model, as BACKEND:MODEL.
        renderer: the identity of its renderer.
        resolved: what depends on the machine, by side.
    """

    STAGE: ClassVar = "train"

    options: TrainOptions
    student: str
    schedule: Schedule
    renderer: Mapping[str, str]
    resolved: Resolved

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Return the settings in the content of train.json."""
        settings = row["settings"]
        return cls(
            options=TrainOptions(**row["options"]),
            student=settings["student"],
            schedule=Schedule.from_row(settings["schedule"]),
            renderer=settings["renderer"],
            resolved=row["resolved"],
        )

    def as_row(self) -> dict[str, object]:
        """Return the content of train.json."""
        settings = {"student": self.student, "schedule": self.schedule.as_row(), "renderer": self.renderer}
        return {"options": self.options.as_row(), "settings": settings, "resolved": self.resolved}


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateSettings:
    """The settings of the evaluate stage.

    Args:
        same_model: whether the base with the prompt would give the teacher's stored answers.
        left_out: by probe, why it is skipped.
        resolved: what depends on the machine, by side.
    """

    STAGE: ClassVar = "evaluate"

    same_model: bool
    left_out: Mapping[str, str]
    resolved: Resolved

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Return the settings in the content of evaluate.json."""
        settings = row["settings"]
        return cls(same_model=settings["alike"], left_out=settings.get("left_out", {}), resolved=row["resolved"])

    def as_row(self) -> dict[str, object]:
        """Return the content of evaluate.json."""
        settings = {"alike": self.same_model, "left_out": self.left_out}
        return {"settings": settings, "resolved": self.resolved}
