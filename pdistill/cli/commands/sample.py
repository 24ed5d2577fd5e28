"""`pdistill sample`: queries the trained student, or another arm."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from io import BufferedReader
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from pdistill.cli.escape import json_text, one_line
from pdistill.cli.options import FILE, as_json, standard_input, the_run
from pdistill.cli.plugin_warnings import warn_of_plugins
from pdistill.core.contract.queries import Query
from pdistill.core.contract.sampling import Completion
from pdistill.core.errors import ContextError, RunError, UsageError
from pdistill.core.store.rundir import ARMS

if TYPE_CHECKING:
    from pdistill.core.delivery.ask import OpenArm

BATCH = 64
BLOCK = 1 << 16
LONGEST = 1 << 24


@click.command()
@the_run
@click.argument("query", nargs=-1)
@click.option(
    "--queries",
    metavar="FILE",
    type=FILE,
    help="File with queries: .txt, .jsonl, .csv or .parquet; - is standard input.",
)
@click.option(
    "--arm",
    type=click.Choice(ARMS),
    default="student",
    show_default=True,
    help="Arm to query; prompted: with the prompt.",
)
@as_json
def sample(run: str, query: tuple[str, ...], queries: str | None, arm: str, as_json: bool) -> None:
    """Query the trained student, or another arm of the run.

    RUN is a run directory, or its name under runs/. Without QUERY, queries are read from standard input, one per line;
    on a terminal, until Ctrl-D, and each answer is streamed. Each answer is one line, with control characters escaped.
    With --json, it is an object with "query", "response" and "finish" (stop, length or error).
    """
    from pdistill.cli.progress import showing
    from pdistill.core.delivery.ask import open_arm
    from pdistill.core.store.rundir import find_run

    if query and queries:
        raise UsageError(f"--queries {queries} and QUERY arguments are mutually exclusive")
    warn_of_plugins()
    directory = find_run(run)
    with ExitStack() as stack:
        with showing():
            opened = stack.enter_context(open_arm(directory, arm))
        if not query and not queries and not as_json and sys.stdin and sys.stdin.isatty():
            _converse(opened)
        else:
            _answer_all(opened, _batches(query, queries), _as_json if as_json else _as_line)


def _batches(arguments: tuple[str, ...], file: str | None) -> Iterator[list[Query]]:
    """Yield the queries of the command line, the file or standard input, in batches."""
    if file:
        from pdistill.core.contract.queryfiles import read_queries

        coming = read_queries(standard_input() if file == "-" else Path(file))
        while batch := list(islice(coming, BATCH)):
            yield batch
        return
    batches = batched([_valid(text) for text in arguments]) if arguments else read_batches(_read)
    yield from (list(map(Query, batch)) for batch in batches)


def read_batches(read: Callable[[int], bytes]) -> Iterator[list[str]]:
    """Yield lines as soon as they can be read, in batches of at most 64; blank ones too, as a caller waits for each answer.

    Args:
        read: returns at most so many bytes, blocks only until the first arrives, and returns none at the end.

    Raises:
        UsageError: a line is longer than 16 MiB.
    """
    rest = b""
    while block := read(BLOCK):
        *whole, rest = (rest + block).split(b"\n")
        if len(rest) > LONGEST:
            raise UsageError(f"a line of standard input is longer than {LONGEST:,} bytes")
        yield from batched([_decoded(line) for line in whole])
    if rest:
        yield [_decoded(rest)]


def batched(texts: list[str]) -> Iterator[list[str]]:
    """Yield the texts in batches of at most 64."""
    for start in range(0, len(texts), BATCH):
        yield texts[start : start + BATCH]


def _answer_all(arm: "OpenArm", batches: Iterable[list[Query]], shown: Callable[[str, Completion], str]) -> None:
    """Write an answer for every query.

    Raises:
        RunError: some queries don't fit the model's context; all others are answered.
    """
    failed = done = 0
    for batch in batches:
        for query, answer in zip(batch, _answers(arm, batch, done), strict=True):
            done += 1
            failed += answer.finish == "error"
            sys.stdout.write(shown(query.text, answer) + "\n")
            sys.stdout.flush()
    if failed:
        raise RunError(f"{failed:,} of {done:,} queries have no answer")


def _answers(arm: "OpenArm", batch: list[Query], before: int) -> Iterator[Completion]:
    """Yield the answers; a query that doesn't fit gets an error instead, and the others are answered."""
    answered = 0
    try:
        for answer in arm.answer(batch):
            answered += 1
            yield answer
    except ContextError as error:
        if len(batch) > 1:
            for at, query in enumerate(batch[answered:], start=answered):
                yield from _answers(arm, [query], before + at)
            return
        yield _failed(error, before + 1)


def _failed(error: ContextError, number: int) -> Completion:
    error.name = str(number)
    click.echo(f"error: {one_line(str(error))}", err=True)
    return Completion("", "error")


def _converse(arm: "OpenArm") -> None:
    """Answer typed queries until Ctrl-D, and stream the answers."""
    import readline  # noqa: F401 - makes the typed line editable

    click.echo("one query per line; end with Ctrl-D", err=True)
    for number in count(1):
        try:
            text = input("> ")
        except EOFError:
            click.echo()
            return
        if not text.strip():
            continue
        try:
            for piece in arm.stream(Query(text)):
                click.echo(one_line(piece), nl=False)
            click.echo()
        except ContextError as error:
            _failed(error, number)


def _as_json(text: str, answer: Completion) -> str:
    return json_text({"query": text, "response": answer.text, "finish": answer.finish})


def _as_line(text: str, answer: Completion) -> str:
    return one_line(answer.text)


def _read(size: int) -> bytes:
    """Return at most `size` bytes of standard input; none at its end."""
    return cast("BufferedReader", sys.stdin.buffer).read1(size) if sys.stdin else b""


def _decoded(line: bytes) -> str:
    return line.removesuffix(b"\r").decode("utf-8", "replace")


def _valid(argument: str) -> str:
    return argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
