"""JSON rows on disk: one per line, read and written so that being killed at any moment leaves no partial row behind."""

import json
import os
from array import array
from collections.abc import Callable, Container, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Generic, Protocol, Self, TypeVar

import orjson

from pdistill.core.contract.jsontext import JsonObject, Keys, Row, check_keys
from pdistill.core.errors import RunError
from pdistill.core.files import storage_error

NUMBER = (int, float)
NO_KEYS: Keys = {}
DAMAGE = (KeyError, TypeError, ValueError, AttributeError)
"""What reading a value from a row raises where the row does not hold one."""


class Storable(Protocol):
    """A value that is stored as a row."""

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Return the value in a row."""

    def as_row(self) -> dict[str, object]:
        """Return the value as a row."""


R = TypeVar("R", bound=Storable)
A = TypeVar("A")
B = TypeVar("B")


def encode(row: Row) -> bytes:
    """Return a row as one line of UTF-8 JSON; lone surrogates are escaped."""
    try:
        return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # lone surrogates, numbers of more than 64 bits
        return json.dumps(row, separators=(",", ":")).encode() + b"\n"


def read_rows(path: Path, keys: Keys = NO_KEYS) -> Iterator[JsonObject]:
    """Yield the rows of a file, each of which has these keys.

    Raises:
        RunError: the file cannot be read, or a line is not such a row; it names the line.
    """
    for place, line in _lines(path):
        yield decode(line, path, place + 1, keys)


def read_records(kind: type[R], path: Path, places: Container[int] | None = None) -> Iterator[R]:
    """Yield the rows of a file as values of a type: those at the given positions, counted from 0, or all.

    Raises:
        RunError: the file cannot be read, or a line is not such a row; it names the line.
    """
    for place, line in _lines(path):
        if places is None or place in places:
            yield record(kind, decode(line, path, place + 1), path, place + 1)


def record(kind: type[R], row: Row, path: Path, at: int) -> R:
    """Return the value in a row.

    Raises:
        RunError: the row does not hold a value of this type.
    """
    try:
        return kind.from_row(row)
    except DAMAGE as error:
        raise unreadable(path, at, error) from None


def decode(line: bytes, path: Path, at: int, keys: Keys = NO_KEYS) -> JsonObject:
    """Return the row on a line, which has these keys.

    Raises:
        RunError: the line is not such a row.
    """
    row = _parsed(line)
    if row is None:
        raise unreadable(path, at)
    try:
        check_keys(row, keys)
    except TypeError as error:
        raise unreadable(path, at, error) from None
    return row


def misplaced(path: Path, query: object) -> RunError:
    """Return the error for a complete file of answers that does not have a query's answer in its place."""
    return RunError(
        f"'{path}' does not have the answer to query {query!r} in its place: it was edited or damaged; restore it, or start a "
        "new run with --run-dir"
    )


def side_by_side(one: Iterable[A], other: Iterable[B], paths: tuple[Path, Path]) -> Iterator[tuple[A, B]]:
    """Yield the rows of two files that belong to each other.

    Raises:
        RunError: one of the files has more rows than the other.
    """
    try:
        yield from zip(one, other, strict=True)
    except ValueError:
        raise RunError(
            f"'{paths[0]}' and '{paths[1]}' do not have the same number of rows, so one was edited or damaged; restore it, or "
            "start a new run with --run-dir"
        ) from None


def read_at(file: BinaryIO, offset: int, path: Path) -> JsonObject:
    """Return the row that begins at a byte offset of an open file.

    Raises:
        RunError: the line is not a row; it names the line.
    """
    file.seek(offset)
    row = _parsed(file.readline())
    if row is None:
        raise unreadable(path, _line_at(file, offset))
    return row


def _line_at(file: BinaryIO, offset: int) -> int:
    """Return the number of the line that begins at a byte offset, from 1."""
    file.seek(0)
    return file.read(offset).count(b"\n") + 1


def _parsed(line: bytes) -> JsonObject | None:
    """Return the row on a complete line, also where orjson rejects it for a lone surrogate; None where there is none."""
    try:
        row = orjson.loads(line)
    except ValueError:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            return None
    return row if isinstance(row, dict) and line.endswith(b"\n") else None


def unreadable(path: Path, at: int, why: Exception | None = None) -> RunError:
    """Return the error for a line that is not a row of its file; it says how the row can be asked for again.

    Args:
        path: the file.
        at: the number of the line, from 1.
        why: the error that reading it raised, if it is JSON.
    """
    reason = f" ({why})" if isinstance(why, TypeError) and "__init__" not in str(why) else ""
    again = f"delete this line of {path.name}, and run the command again: only its row is asked for again; or "
    return RunError(
        f"{path}, line {at}: not a row{reason}; the file was edited or damaged; "
        f"{again if path.suffix == '.part' else ''}restore it, or start a new run with --run-dir"
    )


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            yield from enumerate(file)
    except OSError as error:
        raise storage_error(error, path) from None


def append_row(path: Path, row: Row) -> None:
    """Append one row to a log, a small file in chronological order, after dropping a truncated last line.

    Raises:
        RunError: it cannot be written.
    """
    try:
        with path.open("a+b") as file:
            file.seek(0)
            whole = sum(len(line) for line in file if line.endswith(b"\n"))
            file.truncate(whole)
            file.write(encode(row))
    except OSError as error:
        raise storage_error(error, path) from None


def read_log(path: Path, keys: Keys = NO_KEYS) -> list[JsonObject]:
    """Return the rows of a log, each of which has these keys, without a truncated last line; none where there is no file yet.

    Raises:
        RunError: it cannot be read, or a line is not such a row.
    """
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise storage_error(error, path) from None
    return [decode(line, path, at, keys) for at, line in enumerate(lines, start=1) if line.endswith(b"\n")]


class RowIndex(Generic[R]):
    """The rows of a complete file that `select` accepts, read one by one as values of a type; a context manager.

    Only their offsets are held in memory.
    """

    def __init__(self, kind: type[R], path: Path, select: Callable[[R], bool] | None = None) -> None:
        self._kind = kind
        self._path = path
        self._offsets = array("q")
        offset = 0
        try:
            self._file: BinaryIO = path.open("rb")
        except OSError as error:
            raise storage_error(error, path) from None
        try:
            for at, line in enumerate(self._file, start=1):
                if select is None or select(record(kind, decode(line, path, at), path, at)):
                    self._offsets.append(offset)
                offset += len(line)
        except BaseException:
            self._file.close()
            raise

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, place: int) -> R:
        offset = self._offsets[place]
        row = read_at(self._file, offset, self._path)
        try:
            return self._kind.from_row(row)
        except DAMAGE as error:
            raise unreadable(self._path, _line_at(self._file, offset), error) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def write_rows(path: Path, rows: Iterable[Row], seal: Callable[[Path], None]) -> None:
    """Guarantee that `path` holds these rows, in this order: all of them or, if the process is killed, none.

    Args:
        seal: called with `path.part` once it is complete, just before it becomes `path`.

    Raises:
        RunError: the file cannot be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            file.writelines(encode(row) for row in rows)
            file.flush()
            os.fsync(file.fileno())
        seal(part)
        part.replace(path)
    except OSError as error:
        raise storage_error(error, path) from None
