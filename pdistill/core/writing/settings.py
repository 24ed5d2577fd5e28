"""What `pdistill queries` is asked to write, with every default settled, before a model is opened."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any

from pdistill.core.contract.interfaces import Teacher
from pdistill.core.contract.prompts import Format
from pdistill.core.contract.queries import Query
from pdistill.core.contract.queryfiles import read_queries, read_text
from pdistill.core.contract.sampling import Sampling
from pdistill.core.errors import BackendError, UsageError
from pdistill.core.setup.config import check_labels
from pdistill.core.setup.models import Model, ModelSpec, resolve_model, row_options
from pdistill.core.store.rows import encode
from pdistill.core.writing.aims import Aim, aims_of
from pdistill.core.writing.asking import INSTRUCTION, Requests
from pdistill.core.writing.lines import Reader
from pdistill.core.writing.shots import frame_of, shots_of

LIMIT = 300
"""Queries that are wanted, where the user says nothing."""
DEFAULTS: Mapping[Format, tuple[float, int]] = {"chat": (1.0, 1_024), "text": (0.7, 128)}
"""Temperature, and tokens of an answer, where the user says nothing: of ten queries, or of one by a base model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteConfig:
    """The options of the job; None means a default.

    Args:
        prompt: a file that holds the prompt that the queries are for.
        output: the .jsonl file that is written.
        queries: a file of queries that there are already, to be written more like.
        columns: the names that this file has for the columns.
        labels: the answers that count, where there are such.
        format: chat messages or plain text.
        backend: who runs a model that names no backend of its own.
        backend_options: options of the backend.
        teacher: the model that writes, as [BACKEND:]MODEL.
        limit: queries that are wanted.
        seed: of the choice of examples and of sampled answers.
        temperature: of the answers.
        top_p: the share of probability that the answers are drawn from.
        max_tokens: the longest answer, in tokens.
        max_cost: USD that the job must not pass, with all its interruptions.
    """

    prompt: Path
    output: Path = Path("queries.jsonl")
    queries: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] | None = None
    format: Format | None = None
    backend: str = "local"
    backend_options: Mapping[str, Any] = field(default_factory=dict)
    teacher: str | None = None
    limit: int = LIMIT
    seed: int = 0
    temperature: float | None = None
    top_p: float = 1.0
    max_tokens: int | None = None
    max_cost: float | None = None

    def __post_init__(self) -> None:
        """Check what needs no file and no plugin.

        Raises:
            UsageError: the output's name or a label won't do.
        """
        check_output(self.output)
        check_labels(self.labels)
        if self.columns and self.queries is None:
            raise UsageError("--column names columns of a file of queries; give it by --queries FILE")

    @property
    def folder(self) -> Path:
        """Where the model's answers are kept, beside the output."""
        return self.output.with_suffix(".answers")


def check_output(path: Path) -> None:
    """Guarantee that queries can be written to `path`.

    Raises:
        UsageError: its name does not end in .jsonl, or there is no such folder.
    """
    if path.suffix != ".jsonl":
        raise UsageError(f"can't write queries to '{path}': its name must end in .jsonl")
    if not path.parent.is_dir():
        raise UsageError(f"can't write queries to '{path}': there is no folder '{path.parent}'")


@dataclass(frozen=True, slots=True)
class Source:
    """What the job is made from: the prompt, the user's queries, the aims, and the model."""

    prompt: str
    seeds: tuple[Query, ...]
    labels: tuple[str, ...]
    spec: ModelSpec
    asked: Mapping[str, Any]

    def aims(self, format: Format) -> list[Aim]:
        """Return what queries are written for; a base model goes on with examples, which rules can't be put into."""
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
        raise UsageError(f"the prompt in '{config.prompt}' is empty; write what the teacher shall do into it")
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


def settle_writing(config: WriteConfig, source: Source, stored: Mapping[str, Any] | None = None) -> WritePlan:
    """Return the plan; loads no weights.

    Args:
        stored: what was settled when the job began; None: settle now.

    Raises:
        UsageError: there is nothing to go on from.
        BackendError: the model, or what runs it, is missing; or it has no chat template and should.
    """
    model = Model(source.spec, stored["resolved"] if stored else None)
    teacher = model.teacher()
    renderer = teacher.renderer()
    chats = renderer is None or renderer.has_chat_template
    format: Format = config.format or ("chat" if chats else "text")
    if format == "chat" and not chats:
        raise BackendError(f"{source.spec.id} has no chat template; take --format text")
    if format == "text" and not source.seeds:
        raise UsageError(
            "a model that goes on with text needs some queries to go on from; give them by --queries FILE, or show them "
            "in the prompt as a few-shot prompt does"
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
