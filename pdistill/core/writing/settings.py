"""The options of `pdistill queries`, with every default resolved before a model is opened."""

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
"""The default number of queries."""
DEFAULTS: Mapping[Format, tuple[float, int]] = {"chat": (1.0, 1_024), "text": (0.7, 128)}
"""The default temperature and maximum tokens of an answer: ten queries in a chat, one by a base model in text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteConfig:
    """The options of the job; None is the default.

    Args:
        prompt: the file with the prompt that the queries are for.
        output: the .jsonl file to write.
        queries: a file of existing queries, as examples of what to write.
        columns: the column names of that file.
        labels: the valid answers, if there are such.
        format: chat messages or plain text.
        backend: the backend of a model that names none.
        backend_options: options of the backend.
        teacher: the model that writes, as [BACKEND:]MODEL.
        limit: the number of queries to write.
        seed: of the random choice of examples and of sampled answers.
        temperature: of the answers.
        top_p: the probability mass that nucleus sampling keeps.
        max_tokens: the maximum tokens of an answer.
        max_cost: spending limit in USD for the whole job, across restarts.
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
        """Check everything that needs no file and no plugin.

        Raises:
            UsageError: the output's name or a label is invalid.
        """
        check_output(self.output)
        check_labels(self.labels)
        if self.columns and self.queries is None:
            raise UsageError("--column names the columns of a query file; give the file with --queries FILE")

    @property
    def folder(self) -> Path:
        """The folder of the model's answers, next to the output."""
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
    """The inputs of the job: the prompt, the user's queries, the labels, and the model."""

    prompt: str
    seeds: tuple[Query, ...]
    labels: tuple[str, ...]
    spec: ModelSpec
    asked: Mapping[str, Any]

    def aims(self, format: Format) -> list[Aim]:
        """Return the aims of the queries; in text there are none for rules, which examples cannot express."""
        return aims_of(self.prompt, self.labels, with_rules=format == "chat")

    def requests(self, format: Format) -> Requests:
        """Return the factory of the requests."""
        return Requests(self.prompt, format, frame_of(self.prompt), self.seeds, self.labels, self.asked["seed"])

    def reader(self, format: Format) -> Reader:
        """Return the parser of the answers."""
        return Reader(f"{self.prompt}\n{INSTRUCTION}", self.labels, frame_of(self.prompt).query)


@dataclass(frozen=True, slots=True)
class WritePlan:
    """The job with its resolved settings and its model, not yet opened."""

    source: Source
    model: Model
    teacher: Teacher
    format: Format
    sampling: Sampling


def read_source(config: WriteConfig) -> Source:
    """Return the inputs of the job; opens no model.

    Raises:
        UsageError: an unusable file, or an unknown backend or option.
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


def plan_writing(config: WriteConfig, source: Source, stored: Mapping[str, Any] | None = None) -> WritePlan:
    """Return the plan; loads no weights.

    Args:
        stored: what was resolved when the job started; None: resolve now.

    Raises:
        UsageError: the format is text, and there are no queries to continue from.
        BackendError: the model, or a package that runs it, is missing; or the format is chat, and it has no chat template.
    """
    model = Model(source.spec, stored["resolved"] if stored else None)
    teacher = model.teacher()
    renderer = teacher.renderer()
    supports_chat = renderer is None or renderer.has_chat_template
    format: Format = config.format or ("chat" if supports_chat else "text")
    if format == "chat" and not supports_chat:
        raise BackendError(f"{source.spec.id} has no chat template; use --format text")
    if format == "text" and not source.seeds:
        raise UsageError(
            "--format text needs some queries to continue from; give them with --queries FILE, or show them in the prompt "
            "as a few-shot prompt does"
        )
    temperature, max_tokens = (stored["temperature"], stored["max_tokens"]) if stored else DEFAULTS[format]
    if config.temperature is not None:
        temperature = config.temperature
    sampling = Sampling(temperature, config.top_p, config.max_tokens or max_tokens, stop_at_newline=format == "text")
    return WritePlan(source, model, teacher, format, sampling)


def _digest(parts: Iterable[bytes]) -> str:
    state = sha256()
    for part in parts:
        state.update(part)
    return state.hexdigest()
