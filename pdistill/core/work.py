"""The work of a run: its task with the prompt, the frame and the queries that it really uses."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from pdistill.core.config import Config, config_from
from pdistill.core.constraint import Constraint, JsonSchema, Pattern
from pdistill.core.errors import RunError, TaskError
from pdistill.core.options import build
from pdistill.core.plugins import installed
from pdistill.core.probes.questions import probe_rows
from pdistill.core.prompts import Format
from pdistill.core.queries import Query, numbered, query_from_row
from pdistill.core.queryfiles import read_queries, read_text
from pdistill.core.rows import encode, read_rows, storage_error, write_file, write_rows
from pdistill.core.rundir import RunDirectory
from pdistill.core.task import FileTask, Task


@dataclass(frozen=True, slots=True)
class Work:
    """A task, the queries that it is asked, numbered and limited, and the JSON schema that was given for its answers."""

    task: Task
    queries: Callable[[], Iterator[Query]]
    schema: str | None = None

    def hashes(self) -> dict[str, Any]:
        """Return the hashes of prompt, frame, queries and schema, and the number of queries.

        Raises:
            TaskError: there are no queries.
        """
        state, count = sha256(), 0
        for query in self.queries():
            state.update(encode(query.row()))
            count += 1
        if not count:
            raise TaskError("there are no queries; the file or the task holds none")
        texts = {"prompt": self.task.prompt, "student_prompt": self.task.student_frame}
        if self.schema is not None:
            texts["json_schema"] = self.schema
        hashes = {name: sha256(text.encode()).hexdigest() for name, text in texts.items()}
        return {**hashes, "queries": state.hexdigest(), "count": count}


def work_from(config: Config) -> Work:
    """Return the work that the options ask for, read from the task and the user's files.

    Raises:
        UsageError: an unknown task or option, or a file that can't be read.
    """
    schema = None if config.json_schema is None else read_text(config.json_schema)
    task = create_task(config, schema)
    if config.prompt is not None:
        task.prompt = read_text(config.prompt)
    if config.student_prompt is not None:
        task.student_frame = read_text(config.student_prompt)

    def own() -> Iterable[Query]:
        return task.queries() if config.queries is None else read_queries(config.queries, config.columns)

    def queries() -> Iterator[Query]:
        for query in numbered(own, config.limit):
            slices, group = task.slices(query), task.group(query)
            same = slices == query.slices and group == query.group
            yield query if same else replace(query, slices=slices, group=group)

    return Work(task, queries, schema)


def work_of(run: RunDirectory, format: Format) -> tuple[Config, Work]:
    """Return what a run was asked, and its work, read from the run directory alone.

    Raises:
        RunError: the run directory can't be read.
        UsageError: the task is no longer installed.
    """
    config = config_of(run)
    schema = None if config.json_schema is None else _read(run, "json_schema.json")
    task = create_task(config, schema)
    task.prompt = _read(run, "prompt.txt")
    task.student_frame = _read(run, "student_prompt.txt")
    task.format = format
    return config, Work(task, lambda: (query_from_row(row) for row in read_rows(run.queries)), schema)


def config_of(run: RunDirectory) -> Config:
    """Return the options that a run was made with.

    Raises:
        RunError: there is no run, or run.json was damaged.
    """
    options = {key: value for key, value in run.asked()["options"].items() if value is not None}
    return config_from({**options, "run_dir": run.path})


def create_task(config: Config, schema: str | None = None) -> Task:
    """Return the task that the options name, or the one made of files.

    Args:
        schema: the JSON schema of its answers, as text.

    Raises:
        UsageError: an unknown task or option; a pattern or a schema that is none.
    """
    if config.task is None:
        return FileTask(config.labels, _constraint(config, schema), config.agreement)
    entry = installed().tasks[config.task]
    return entry.create(build(entry.options, config.task_options, f"task {config.task}"))


def _constraint(config: Config, schema: str | None) -> Constraint | None:
    if config.pattern is not None:
        return Pattern(config.pattern)
    return None if schema is None else JsonSchema(schema, f"'{config.json_schema}'")


def store(work: Work, run: RunDirectory) -> None:
    """Guarantee that the run directory holds its own copy of prompt, frame, schema, queries and questions of the probes."""
    write_file(run.path / "prompt.txt", work.task.prompt.encode())
    write_file(run.path / "student_prompt.txt", work.task.student_frame.encode())
    if work.schema is not None:
        write_file(run.path / "json_schema.json", work.schema.encode())
    write_rows(run.queries, (query.row() for query in work.queries()), run.seal)
    write_rows(run.probes, probe_rows(work.task), run.seal)


def _read(run: RunDirectory, name: str) -> str:
    path = run.path / name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise storage_error(error, path) from None
    if sha256(content).hexdigest() != run.asked()["hashes"][path.stem]:
        raise RunError(f"'{path}' was changed after the run began; restore it, or start a new run with --run-dir")
    return content.decode()
