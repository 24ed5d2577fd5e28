"""The options of `pdistill queries`, and the plan that they make, with every default resolved, before a model is loaded."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import chain
from pathlib import Path

from pdistill.core.contract.interfaces import Teacher
from pdistill.core.contract.jsontext import OptionValues, Row
from pdistill.core.contract.optionfields import check_ranges, declared, documented, option, options_of
from pdistill.core.contract.prompts import Format
from pdistill.core.contract.queries import Query
from pdistill.core.contract.queryfiles import read_queries, read_text
from pdistill.core.contract.sampling import Sampling
from pdistill.core.errors import BackendError, UsageError
from pdistill.core.setup.checks import check_labels
from pdistill.core.setup.config import COST
from pdistill.core.setup.models import Model, ModelSpec, resolve_model, row_options
from pdistill.core.store.rows import encode
from pdistill.core.writing.aims import Aim, aims_of
from pdistill.core.writing.asking import INSTRUCTION, Requests
from pdistill.core.writing.lines import Reader
from pdistill.core.writing.shots import frame_of, shots_of

LIMIT = 300
"""The default number of queries."""
DEFAULTS: Mapping[Format, tuple[float, int]] = {"chat": (1.0, 1_024), "text": (0.7, 128)}
"""The default temperature and maximum number of tokens: of a chat answer with ten queries, and of one query by a base model."""


PROMPT, MODEL, SAMPLING, OUTPUT = "Prompt and queries", "Model", "Sampling", "Output"
"""The sections of the help."""


@documented
@dataclass(frozen=True, slots=True, kw_only=True)
class WriteConfig:
    """The options of the job; None means a default."""

    prompt: Path = field(metadata=declared("File with the prompt that the queries are for", PROMPT))
    queries: Path | None = option(
        None, "File with queries that you have, to write more like them: .txt, .jsonl, .csv or .parquet", PROMPT
    )
    columns: Mapping[str, str] = option(
        {}, "Column of the queries file that holds KEY: query or messages", PROMPT, flag="--column", metavar="KEY=NAME"
    )
    labels: tuple[str, ...] | None = option(
        None, "Valid answers; queries are written for each of them", PROMPT, metavar="A,B,C"
    )
    backend: str = option("local", "Backend that runs the model; see pdistill backends", MODEL, metavar="NAME")
    backend_options: OptionValues = option({}, "Backend option", MODEL, flag="-B", metavar="KEY=VALUE")
    teacher: str | None = option(None, "Model that writes the queries", MODEL, metavar="[BACKEND:]MODEL")
    format: Format | None = option(
        None,
        "Prompt the model by instruction, or with examples to continue",
        MODEL,
        default_text="chat, or text if the model has no chat template",
    )
    seed: int = option(
        0, "Random seed for sampling and the choice of examples", SAMPLING, minimum=-(2**63), maximum=2**63 - 1
    )
    temperature: float | None = option(
        None,
        "Sampling temperature",
        SAMPLING,
        default_text=f"{DEFAULTS['chat'][0]:g} in chat, {DEFAULTS['text'][0]:g} in text",
        minimum=0,
        maximum=100,
    )
    top_p: float = option(1.0, "Nucleus sampling: the probability mass to sample from", SAMPLING, above=0, maximum=1)
    max_tokens: int | None = option(
        None,
        "Maximum number of tokens per answer",
        SAMPLING,
        default_text=f"{DEFAULTS['chat'][1]} in chat, {DEFAULTS['text'][1]} in text",
        minimum=1,
        maximum=10**7,
    )
    output: Path = option(Path("queries.jsonl"), "File to write the queries to", OUTPUT, metavar="FILE.jsonl")
    limit: int = option(
        LIMIT, "Maximum number of queries", OUTPUT, default_text=f"{LIMIT}; from logs, all", minimum=1, maximum=10**9
    )
    max_cost: float | None = option(
        None, "Spending limit in USD for the whole job, across restarts", COST, above=0, maximum=10**9, metavar="USD"
    )

    def __post_init__(self) -> None:
        """Check what needs no file and no plugin.

        Raises:
            UsageError: a value is out of range, or the name of the output or a label is invalid.
        """
        check_ranges(self)
        check_output(self.output)
        check_labels(self.labels)
        if self.columns and self.queries is None:
            raise UsageError("--column names columns of a queries file; give the file with --queries FILE")

    @property
    def folder(self) -> Path:
        """The directory of the model's answers, beside the output."""
        return self.output.with_suffix(".answers")


OPTIONS = options_of(WriteConfig)


def check_output(path: Path) -> None:
    """Guarantee that queries can be written to `path`.

    Raises:
        UsageError: its name does not end in .jsonl, or there is no such directory.
    """
    if path.suffix != ".jsonl":
        raise UsageError(f"can't write queries to '{path}': its name must end in .jsonl")
    if not path.parent.is_dir():
        raise UsageError(f"can't write queries to '{path}': there is no directory '{path.parent}'")


@dataclass(frozen=True, slots=True)
class Source:
    """What the job is made from: the prompt, the user's queries, the aims, and the model."""

    prompt: str
    seeds: tuple[Query, ...]
    labels: tuple[str, ...]
    spec: ModelSpec
    asked: Row

    def aims(self, format: Format) -> list[Aim]:
        """Return the aims of the queries; a base model continues examples, which can't express rules."""
        return aims_of(self.prompt, self.labels, with_rules=format == "chat")

    def requests(self, format: Format) -> Requests:
        """Return what makes the requests."""
        return Requests(self.prompt, format, frame_of(self.prompt), self.seeds, self.labels, self.asked["seed"])

    def reader(self, format: Format) -> Reader:
        """Return what reads the answers."""
        return Reader(f"{self.prompt}\n{INSTRUCTION}", self.labels, frame_of(self.prompt).query)


@dataclass(frozen=True, slots=True)
class WritePlan:
    """The job with its model, not yet opened."""

    source: Source
    model: Model
    teacher: Teacher
    format: Format
    sampling: Sampling


def read_source(config: WriteConfig) -> Source:
    """Return what the job is made from; opens no model.

    Raises:
        UsageError: a file can't be used, or an unknown backend or option.
    """
    prompt = read_text(config.prompt)
    if not prompt.strip():
        raise UsageError(f"the prompt in '{config.prompt}' is empty; write the teacher's instructions into it")
    own = list(read_queries(config.queries, config.columns)) if config.queries else []
    spec = resolve_model(config.teacher, "teacher", config.backend, config.backend_options)
    asked = {
        "prompt": _digest([prompt.encode()]),
        "queries": _digest(encode(query.as_row()) for query in own),
        "teacher": spec.id,
        "backend_options": row_options(spec.options),
        "labels": list(config.labels or ()),
        **{key: getattr(config, key) for key in ("format", "limit", "seed", "temperature", "top_p", "max_tokens")},
    }
    return Source(prompt, tuple(chain(own, shots_of(prompt))), config.labels or (), spec, asked)


def plan_writing(config: WriteConfig, source: Source, stored: Row | None = None) -> WritePlan:
    """Return the plan; loads no weights.

    Args:
        stored: the settings from the start of the job; None: resolve them now.

    Raises:
        UsageError: there is no query to continue from.
        BackendError: the model, or what runs it, is missing; or it has no chat template and should.
    """
    model = Model(source.spec, stored["resolved"] if stored else None)
    teacher = model.teacher()
    renderer = teacher.renderer()
    chats = renderer is None or renderer.has_chat_template
    format: Format = config.format or ("chat" if chats else "text")
    if format == "chat" and not chats:
        raise BackendError(f"{source.spec.id} has no chat template; use --format text")
    if format == "text" and not source.seeds:
        raise UsageError(
            "--format text needs some queries for the model to continue; give them with --queries FILE, or in a few-shot "
            "prompt"
        )
    temperature, longest = (stored["temperature"], stored["max_tokens"]) if stored else DEFAULTS[format]
    if config.temperature is not None:
        temperature = config.temperature
    sampling = Sampling(temperature, config.top_p, config.max_tokens or longest, stop_at_newline=format == "text")
    return WritePlan(source, model, teacher, format, sampling)


def _digest(parts: Iterable[bytes]) -> str:
    state = sha256()
    for part in parts:
        state.update(part)
    return state.hexdigest()
