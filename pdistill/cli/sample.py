"""`pdistill sample`: asks the trained student, without the prompt."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from io import BufferedReader
from typing import TYPE_CHECKING, cast

import click

from pdistill.cli.escape import json_text, one_line
from pdistill.cli.options import as_json, the_run
from pdistill.core.errors import ContextError, RunError, UsageError
from pdistill.core.sampling import Completion

if TYPE_CHECKING:
    from pdistill.core.ask import OpenStudent

BATCH = 64
BLOCK = 1 << 16
LONGEST = 1 << 24


@click.command()
@the_run
@click.argument("query", nargs=-1)
@as_json
def sample(run: str, query: tuple[str, ...], as_json: bool) -> None:
    """Ask the trained student.

    RUN is the folder of a run, or its name under runs/. Without QUERY, one query a line is read from standard input;
    on a terminal, until Ctrl-D. Each answer takes one line, in which control characters are escaped. With --json it
    is an object with "query", "response" and "finish" (stop, length or error), one for every line read.
    """
    from pdistill.cli.listings import warn_of_plugins
    from pdistill.cli.progress import showing
    from pdistill.core.ask import open_student
    from pdistill.core.rundir import find_run

    warn_of_plugins()
    directory = find_run(run)
    with ExitStack() as stack:
        with showing():
            student = stack.enter_context(open_student(directory))
        if not query and not as_json and sys.stdin and sys.stdin.isatty():
            _converse(student)
        else:
            batches = batched([_valid(text) for text in query]) if query else read_batches(_read)
            _answer_all(student, batches, _as_json if as_json else _as_line)


def read_batches(read: Callable[[int], bytes]) -> Iterator[list[str]]:
    """Yield the lines that are there, at most 64 at once, as soon as they are there.

    Args:
        read: returns at most so many bytes, waits only for the first, and returns none at the end.

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
    """Yield the texts, at most 64 at once."""
    for start in range(0, len(texts), BATCH):
        yield texts[start : start + BATCH]


def _answer_all(student: "OpenStudent", batches: Iterable[list[str]], shown: Callable[[str, Completion], str]) -> None:
    """Write an answer for every query.

    Raises:
        RunError: some queries don't fit the model's context; all others were answered.
    """
    failed = done = 0
    for texts in batches:
        for text, answer in zip(texts, _answers(student, texts, done), strict=True):
            done += 1
            failed += answer.finish == "error"
            sys.stdout.write(shown(text, answer) + "\n")
        sys.stdout.flush()
    if failed:
        raise RunError(f"{failed:,} of {done:,} queries have no answer")


def _answers(student: "OpenStudent", texts: list[str], before: int) -> Iterator[Completion]:
    """Yield the answers; a query that doesn't fit has an error instead, and does not take the others with it."""
    try:
        yield from list(student.answer(texts))
    except ContextError as error:
        if len(texts) > 1:
            for at, text in enumerate(texts):
                yield from _answers(student, [text], before + at)
            return
        error.name = str(before + 1)
        click.echo(f"error: {one_line(str(error))}", err=True)
        yield Completion("", "error")


def _converse(student: "OpenStudent") -> None:
    """Answer what is typed, until Ctrl-D."""
    import readline  # noqa: F401 - makes the line that is typed editable

    click.echo("one query a line; end with Ctrl-D", err=True)
    while True:
        try:
            text = input("> ")
        except EOFError:
            click.echo()
            return
        for answer in _answers(student, [text], 0):
            click.echo(_as_line(text, answer))


def _as_json(text: str, answer: Completion) -> str:
    return json_text({"query": text, "response": answer.text, "finish": answer.finish})


def _as_line(text: str, answer: Completion) -> str:
    return one_line(answer.text)


def _read(size: int) -> bytes:
    """Return what standard input has, at most `size` bytes; none at its end."""
    return cast("BufferedReader", sys.stdin.buffer).read1(size) if sys.stdin else b""


def _decoded(line: bytes) -> str:
    return line.removesuffix(b"\r").decode("utf-8", "replace")


def _valid(argument: str) -> str:
    return argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
