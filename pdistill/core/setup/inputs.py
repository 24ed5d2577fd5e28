"""The inputs of a run: its task, bound to the prompt and the frame that the run uses, and its queries."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import islice
from pathlib import Path

from pdistill.core.contract.constraint import Constraint, JsonSchema, Pattern
from pdistill.core.contract.likeness import bare
from pdistill.core.contract.options import build
from pdistill.core.contract.plugins import installed
from pdistill.core.contract.prompts import Format
from pdistill.core.contract.queries import Query, numbered
from pdistill.core.contract.queryfiles import read_queries, read_text
from pdistill.core.contract.task import FileTask, Task
from pdistill.core.errors import RunError, TaskError, UsageError, nearest
from pdistill.core.files import storage_error
from pdistill.core.setup.config import Config, config_from
from pdistill.core.store.rows import encode, read_records
from pdistill.core.store.rundir import RunDirectory, find_run
from pdistill.core.store.settings import GenerateSettings
from pdistill.core.store.sides import Sides


@dataclass(frozen=True, slots=True)
class RunInputs:
    """A task, its numbered queries up to the limit, the JSON schema of its answers, and what is held out if that was given."""

    task: Task
    queries: Callable[[], Iterator[Query]]
    schema: str | None = None
    held_out: float | Path | None = None

    def texts(self) -> dict[str, str]:
        """Return the texts that the run directory keeps a copy of, by file name: prompts, frame and schema."""
        texts = {"prompt.txt": self.task.prompt, "student_prompt.txt": self.task.student_frame}
        if self.task.prompts:
            texts["prompts.json"] = json.dumps(self.task.prompts, indent=2, ensure_ascii=False)
        if self.schema is not None:
            texts["json_schema.json"] = self.schema
        return texts

    def fingerprint(self) -> "Fingerprint":
        """Return the hashes and the count that identify these inputs.

        Raises:
            TaskError: there are no queries.
        """
        state, count, held_out, characters = sha256(), 0, 0, 0
        for query in self.queries():
            row = query.as_row()
            # Its side is not part of the hash: it may come from the run of --from, which can be left out later.
            held_out += row.pop("held_out", None) is True
            state.update(encode(row))
            count += 1
            characters += len(query.text)
        if not count:
            raise TaskError("there are no queries; the file or the task contains none")
        hashes = {Path(name).stem: sha256(text.encode()).hexdigest() for name, text in self.texts().items()}
        if self.held_out is not None:
            hashes["held_out"] = f"{held_out} of its own" if isinstance(self.held_out, Path) else str(self.held_out)
        return Fingerprint({**hashes, "queries": state.hexdigest()}, count, characters)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The hashes of prompt, frame, queries and schema, the number of queries, and that of all their characters."""

    hashes: Mapping[str, str]
    count: int
    characters: int

    def as_row(self) -> dict[str, str | int]:
        """Return the fingerprint as stored in run.json."""
        return {**self.hashes, "count": self.count}


def read_inputs(config: Config) -> RunInputs:
    """Return the inputs that the options specify, read from the task and the user's files.

    Raises:
        UsageError: an unknown task or option, or a file that cannot be read.
    """
    schema = None if config.json_schema is None else read_text(config.json_schema)
    task = create_task(config, schema)
    if config.prompt is not None:
        prompts = _prompts(config.prompt) if config.prompt.is_dir() else {}
        task = task.bound(prompt="\n\n".join(prompts.values()) or read_text(config.prompt), prompts=prompts)
    if config.student_prompt is not None:
        task = task.bound(student_frame=read_text(config.student_prompt))

    def own() -> Iterable[Query]:
        given = task.queries() if config.queries is None else read_queries(config.queries, config.columns)
        queries = islice(given, config.limit)
        return (
            _with_held_out(queries, config.held_out, config.columns) if isinstance(config.held_out, Path) else queries
        )

    earlier = _earlier_sides(config)

    def queries() -> Iterator[Query]:
        labels = task.labels if isinstance(task, FileTask) else None
        reachable: set[str | None] = {None}
        for query in numbered(own):
            if earlier is not None:
                query = _with_side(query, earlier, config)
            prompt = _prompt_of(query, task.prompts)
            slices, group = task.slices(query), task.group(query)
            if labels and query.reference not in reachable:
                _require_reachable(task, query, labels)
                reachable.add(query.reference)
            slices = (prompt, *slices) if prompt and prompt not in slices else slices
            same = slices == query.slices and group == query.group and prompt == query.prompt
            yield query if same else replace(query, slices=slices, group=group, prompt=prompt)

    return RunInputs(task, queries, schema, config.held_out)


def _with_held_out(queries: Iterable[Query], held_out: Path, columns: Mapping[str, str]) -> Iterator[Query]:
    """Yield the queries of a file that are held out, then all others."""
    yield from (replace(query, held_out=True) for query in read_queries(held_out, columns))
    yield from (replace(query, held_out=False) for query in queries)


def _earlier_sides(config: Config) -> Sides | None:
    """Return the sides of the queries in the run of --from, where they are kept: the split has the same seed and size.

    Raises:
        RunError: a file of the run was changed.
    """
    run = None if config.from_run is None else find_run(str(config.from_run))
    settings = None if run is None else run.stored(GenerateSettings)
    if run is None or settings is None or config.seed != settings.seed:
        return None
    same = config.held_out is None or config.held_out == settings.held_out
    return Sides(run) if same or config.warm_start else None


def _with_side(query: Query, earlier: Sides, config: Config) -> Query:
    """Return a query on the side that it was on in the run of --from.

    Raises:
        UsageError: it is held out by the user's choice, and the student that training starts from was trained on it.
    """
    side = earlier.of(query)
    if query.held_out is None:
        return query if side is None else replace(query, held_out=side)
    if query.held_out and side is False and config.warm_start:
        raise UsageError(
            f"query {query.id!r} of '{config.held_out}' was trained on in '{config.from_run}', so the student that training "
            "starts from may know the answer; leave --warm-start out, or hold out other queries"
        )
    return query


def _prompts(folder: Path) -> dict[str, str]:
    """Return the prompts in a directory by name.

    Raises:
        UsageError: there are none, or one cannot be read.
    """
    prompts = {path.stem: read_text(path) for path in sorted(folder.glob("*.txt"))}
    if not prompts:
        raise UsageError(f"there is no prompt in '{folder}'; give a file, or put a NAME.txt there for each prompt")
    return prompts


def _require_reachable(task: Task, query: Query, labels: tuple[str, ...]) -> None:
    """Guarantee that one of the labels matches the query's reference.

    Raises:
        UsageError: none does.
    """
    if any(task.score(query, label) for label in labels):
        return
    reference = str(query.reference)
    same = next((label for label in labels if bare(label) == bare(reference)), None)
    problem = (
        f"is not one of the labels{nearest(reference, labels)}"
        if same is None
        else f"is not a label: it differs from {same!r} in form alone (case or punctuation)"
    )
    raise UsageError(f"query {query.id!r}: the reference {reference!r} {problem}; fix it, or leave it out")


def _prompt_of(query: Query, prompts: Mapping[str, str]) -> str:
    """Return the name of the query's prompt; empty where all queries share one.

    Raises:
        UsageError: the query does not name one of the prompts.
    """
    if prompts and query.prompt not in prompts:
        problem = f"names the unknown prompt '{query.prompt}'" if query.prompt else "names no prompt"
        raise UsageError(f'query {query.id!r} {problem}; give each row a "prompt": {", ".join(sorted(prompts))}')
    return query.prompt if prompts else ""


def stored_inputs(run: RunDirectory, format: Format) -> RunInputs:
    """Return the inputs of a run, read from the run directory alone.

    Raises:
        RunError: the run directory cannot be read.
        UsageError: the task is no longer installed.
    """
    config = config_of(run)
    schema = None if config.json_schema is None else _read(run, "json_schema.json")
    task = create_task(config, schema).bound(
        prompt=_read(run, "prompt.txt"),
        prompts=json.loads(_read(run, "prompts.json")) if "prompts" in run.asked()["hashes"] else {},
        student_frame=_read(run, "student_prompt.txt"),
        format=format,
    )
    return RunInputs(task, lambda: read_records(Query, run.queries), schema)


def config_of(run: RunDirectory) -> Config:
    """Return the options that a run was started with.

    Raises:
        RunError: there is no run, or run.json was damaged.
    """
    options = {key: value for key, value in run.asked()["options"].items() if value is not None}
    return config_from({**options, "run_dir": run.path})


def create_task(config: Config, schema: str | None = None) -> Task:
    """Return the task that the options name, or else the task made from files.

    Args:
        schema: the JSON schema of its answers, as text.

    Raises:
        UsageError: an unknown task or option; an invalid pattern or schema.
    """
    if config.task is None:
        after = config.answer_after or ""
        return FileTask(config.labels, _constraint(config, schema), config.agreement, after, config.keep_reasoning)
    entry = installed().tasks[config.task]
    return entry.create(build(entry.options, config.task_options, f"task {config.task}"))


def _constraint(config: Config, schema: str | None) -> Constraint | None:
    if config.pattern is not None:
        return Pattern(config.pattern)
    return None if schema is None else JsonSchema(schema, f"'{config.json_schema}'")


def _read(run: RunDirectory, name: str) -> str:
    path = run.path / name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise storage_error(error, path) from None
    if sha256(content).hexdigest() != run.asked()["hashes"][path.stem]:
        raise RunError(f"'{path}' was changed after the run began; restore it, or start a new run with --run-dir")
    return content.decode()
