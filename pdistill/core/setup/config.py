"""The options of a run, each declared once; set by flags, in a TOML file or from Python."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args, get_origin

from pdistill.core.contract.jsontext import JsonObject, OptionValues
from pdistill.core.contract.likeness import Likeness
from pdistill.core.contract.optionfields import check_ranges, documented, option, options_of
from pdistill.core.contract.options import build
from pdistill.core.contract.prompts import Format
from pdistill.core.contract.targets import Select
from pdistill.core.errors import UsageError
from pdistill.core.setup.checks import check_together

Objective = Literal["hard"]
TASK, ANSWERS, MODELS, SAMPLING = "Task and queries", "Answers", "Models", "Teacher sampling"
TRAINING, RUN, COST = "Training", "Run directory", "Cost"
"""The sections of the help, in the order in which the fields below name them."""


@documented
@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The options of a run; None means the default of the task, the model or the backend."""

    # run.json keeps the order of these fields.
    task: str | None = option(None, "Installed task to distill; see pdistill tasks", TASK, "generate", metavar="NAME")
    task_options: OptionValues = option(
        {}, "Task option; see pdistill tasks NAME", TASK, "generate", flag="-T", metavar="KEY=VALUE"
    )
    prompt: Path | None = option(
        None,
        "File with the teacher's prompt, or a directory of prompts, one NAME.txt each",
        TASK,
        "input",
        default_text="the task's",
        metavar="FILE|DIR",
    )
    queries: Path | None = option(
        None, "File with the queries: .txt, .jsonl, .csv or .parquet", TASK, "input", default_text="the task's"
    )
    columns: Mapping[str, str] = option(
        {},
        "Column of the queries file that holds KEY: query, messages, id, reference, slices, group or prompt",
        TASK,
        "input",
        flag="--column",
        metavar="KEY=NAME",
    )
    held_out: float | Path | None = option(
        None,
        "Queries to hold out for the evaluation: their number, a share below 1, or a file with queries of your own",
        TASK,
        "input",
        default_text="0.2",
        metavar="N|SHARE|FILE",
    )
    student_prompt: Path | None = option(
        None, "File with the student's prompt template; must contain {query}", TASK, "input"
    )
    labels: tuple[str, ...] | None = option(
        None, "Allowed answers (only for --prompt with --queries)", ANSWERS, "generate", metavar="A,B,C"
    )
    agreement: Likeness | None = option(
        None,
        "How to compare free-form answers",
        ANSWERS,
        "generate",
        default_text="exact, or fields with --json-schema",
    )
    pattern: str | None = option(
        None, "Regular expression that the whole answer must match", ANSWERS, "generate", metavar="REGEX"
    )
    json_schema: Path | None = option(
        None, "File with a JSON Schema that answers must validate against", ANSWERS, "input"
    )
    answer_after: str | None = option(
        None,
        "Marker before the final answer; only what follows its last occurrence is the answer",
        ANSWERS,
        "generate",
        metavar="TEXT",
    )
    keep_reasoning: bool = option(
        False, "Train on the full response, reasoning included, instead of just the final answer", ANSWERS, "generate"
    )
    constrain: bool = option(
        False, "Constrain the teacher's decoding to valid answers; an error if its backend can't", ANSWERS, "generate"
    )
    format: Format | None = option(
        None,
        "Prompt format for teacher and student",
        TASK,
        "generate",
        default_text="chat, or text if the student has no chat template",
    )
    stop: tuple[str, ...] = option(
        (),
        "Stop sequence",
        ANSWERS,
        "generate",
        default_text="a newline with --format text",
        metavar="TEXT",
        repeatable=True,
    )
    backend: str = option(
        "local", "Backend that runs the models; see pdistill backends", MODELS, "generate", metavar="NAME"
    )
    backend_options: OptionValues = option(
        {},
        "Backend option; teacher.KEY or student.KEY sets it for one model only",
        MODELS,
        "generate",
        flag="-B",
        metavar="[ROLE.]KEY=VALUE",
    )
    teacher: str | None = option(
        None,
        "Model that answers the queries with the prompt",
        MODELS,
        "generate",
        default_text="the task's",
        metavar="[BACKEND:]MODEL",
    )
    student: str | None = option(
        None, "Model to train", MODELS, "train", default_text="the teacher's", metavar="[BACKEND:]MODEL"
    )
    limit: int | None = option(None, "Use only the first N queries", TASK, "generate", minimum=1, maximum=10**9)
    seed: int = option(
        0,
        "Random seed for the split, the order of the examples and sampling",
        TASK,
        "generate",
        minimum=-(2**63),
        maximum=2**63 - 1,
    )
    temperature: float = option(
        0.0,
        "Sampling temperature of the teacher",
        SAMPLING,
        "generate",
        default_text="0, greedy",
        minimum=0,
        maximum=100,
    )
    top_p: float = option(
        1.0, "Nucleus sampling: the probability mass to sample from", SAMPLING, "generate", above=0, maximum=1
    )
    max_tokens: int | None = option(
        None,
        "Maximum number of tokens per answer",
        SAMPLING,
        "generate",
        default_text="the task's",
        minimum=1,
        maximum=10**7,
    )
    samples: int = option(
        1,
        "Teacher samples per query, one of which is used for training",
        SAMPLING,
        "generate",
        minimum=1,
        maximum=10_000,
    )
    select: Select = option(
        "commonest",
        "Sample to train on: the most common answer (majority vote), or the best by the task's score (best-of-n)",
        SAMPLING,
        "generate",
    )
    min_confidence: float | None = option(
        None,
        "Drop a query from training if less than this fraction of its samples agree with the selected answer",
        SAMPLING,
        "generate",
        above=0,
        maximum=1,
    )
    objective: Objective = option(
        "hard", "Training objective; hard: cross-entropy on the tokens of the teacher's answers", TRAINING, "train"
    )
    learning_rate: float | None = option(
        None,
        "Initial learning rate; it decays linearly to 0",
        TRAINING,
        "train",
        default_text="set by the backend for the model",
        above=0,
        maximum=1_000,
    )
    epochs: int | None = option(
        None,
        "Number of training epochs",
        TRAINING,
        "train",
        default_text="set by the backend for the model",
        minimum=1,
        maximum=100_000,
    )
    batch_size: int | None = option(
        None,
        "Examples per training step",
        TRAINING,
        "train",
        default_text="set by the backend for the model",
        minimum=1,
        maximum=10**6,
    )
    rank: int = option(32, "Rank of the LoRA adapter", TRAINING, "train", minimum=1, maximum=2**16)
    warm_start: bool = option(
        False, "Start from the student of the --from run instead of the base model", TRAINING, "train"
    )
    run_dir: Path | None = option(
        None,
        "Directory of the run",
        RUN,
        default_text="runs/ and the name of the task or the prompt file",
        metavar="DIR",
    )
    from_run: Path | None = option(
        None, "Reuse the teacher's answers from an earlier run", RUN, flag="--from", metavar="RUN"
    )
    force: bool = option(
        False, "Continue even if there seems to be nothing to learn, or most answers are rejected", RUN
    )
    no_probes: bool = option(False, "Skip the probes, which look for side effects of the training", RUN, "generate")
    max_cost: float | None = option(
        None,
        "Spending limit in USD for the whole run, across all stages and restarts",
        COST,
        above=0,
        maximum=10**9,
        metavar="USD",
    )

    def __post_init__(self) -> None:
        """Check what needs no file and no plugin; a path may be given as a text, and a tuple as a list or one text.

        Raises:
            UsageError: a value is out of range, or two options contradict each other.
        """
        for name in PATHS:
            value: object = getattr(self, name)
            if isinstance(value, str):
                object.__setattr__(self, name, Path(value))
        if isinstance(self.held_out, float) and self.held_out.is_integer():
            object.__setattr__(self, "held_out", int(self.held_out))
        for name in TUPLES:
            value = getattr(self, name)
            if isinstance(value, list | str):
                object.__setattr__(self, name, (value,) if isinstance(value, str) else tuple(value))
        check_ranges(self)
        check_together(self)

    @property
    def name(self) -> str:
        """The task's name, or the prompt file's."""
        return self.task or (self.prompt.stem if self.prompt else "")

    @property
    def directory(self) -> Path:
        """The run's directory.

        Raises:
            UsageError: none is given, and the name of task or prompt is not that of a directory in runs/.
        """
        if self.run_dir is None and self.name in ("", ".", ".."):
            raise UsageError(f"the prompt's file name '{self.prompt}' gives the run no name; give --run-dir DIR")
        return self.run_dir or Path("runs") / self.name

    def asked(self) -> JsonObject:
        """Return the options as plain JSON values, without what can't change a row."""
        return {key: _plain(getattr(self, key)) for key in OPTION_KEYS}


OPTIONS = options_of(Config)
PATHS = tuple(option.name for option in OPTIONS if Path in (option.type, *get_args(option.type)))
TUPLES = tuple(option.name for option in OPTIONS if get_origin(option.type) is tuple)
TABLES = tuple(option.name for option in OPTIONS if get_origin(option.type) is Mapping)

GENERATE_KEYS = tuple(option.name for option in OPTIONS if option.spec.stage == "generate")
TRAIN_KEYS = tuple(option.name for option in OPTIONS if option.spec.stage == "train")
INPUT_KEYS = tuple(option.name for option in OPTIONS if option.spec.stage == "input")
FILE_KEYS = tuple(name for name in INPUT_KEYS if name in PATHS)
OPTION_KEYS = (*GENERATE_KEYS, *TRAIN_KEYS, *FILE_KEYS, *(name for name in INPUT_KEYS if name not in PATHS))
"""The options that run.json records, in its order."""


def config_from(values: OptionValues) -> Config:
    """Return the options that these values give, coerced to their types.

    Raises:
        UsageError: an unknown key, with the nearest; a value of the wrong type or out of range.
    """
    return build(Config, values, "the configuration")


def _plain(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in sorted(value.items())}
    return value
