"""JSON rows on disk: one a line, read and written so that a kill at any instant leaves nothing half done."""

import json
import os
from array import array
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import orjson

from pdistill.core.errors import RunError
from pdistill.core.files import storage_error

Row = Mapping[str, Any]


def encode(row: Row) -> bytes:
    """Return a row as one line of UTF-8 JSON; lone surrogates are escaped."""
    try:
        return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # lone surrogates, numbers of more than 64 bits
        return json.dumps(row, separators=(",", ":")).encode() + b"\n"


def read_rows(path: Path, places: Container[int] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file: those at the given places, counted from 0, or all.

    Raises:
        RunError: the file can't be read, or a line is no row; it names the line.
    """
    try:
        with path.open("rb") as file:
            for place, line in enumerate(file):
                if places is None or place in places:
                    yield decode(line, path, place + 1)
    except OSError as error:
        raise storage_error(error, path) from None


def decode(line: bytes, path: Path, at: int) -> dict[str, Any]:
    """Return the row that a line holds.

    Raises:
        RunError: the line is no row.
    """
    try:
        row = orjson.loads(line)
    except ValueError:
        row = _lenient(line)
    if not isinstance(row, dict) or not line.endswith(b"\n"):
        raise RunError(
            f"{path}, line {at}: not a row; the file was edited or damaged; restore it, or start a new run with --run-dir"
        )
    return row


def _lenient(line: bytes) -> Any:
    """Return what the standard library reads where orjson refuses: lone surrogates; None for what is no JSON."""
    try:
        return json.loads(line)
    except ValueError:
        return None


def append_row(path: Path, row: Row) -> None:
    """Append one row to a log: a small file in order of time, whose torn last line is dropped first.

    Raises:
        RunError: it can't be written.
    """
    try:
        with path.open("a+b") as file:
            file.seek(0)
            whole = sum(len(line) for line in file if line.endswith(b"\n"))
            file.truncate(whole)
            file.write(encode(row))
    except OSError as error:
        raise storage_error(error, path) from None


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a log, without a torn last line; none where there is no file yet.

    Raises:
        RunError: it can't be read, or a line is no row.
    """
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise storage_error(error, path) from None
    return [decode(line, path, at) for at, line in enumerate(lines, start=1) if line.endswith(b"\n")]


class RowIndex:
    """The rows of a complete file that `wanted` picks, read one by one: only their offsets are held; a context manager."""

    def __init__(self, path: Path, wanted: Callable[[Row], bool] = lambda row: True) -> None:
        self._path = path
        self._offsets = array("q")
        offset = 0
        try:
            self._file: BinaryIO = path.open("rb")
        except OSError as error:
            raise storage_error(error, path) from None
        for at, line in enumerate(self._file, start=1):
            if wanted(decode(line, path, at)):
                self._offsets.append(offset)
            offset += len(line)

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, place: int) -> dict[str, Any]:
        self._file.seek(self._offsets[place])
        return decode(self._file.readline(), self._path, place)

    def __enter__(self) -> "RowIndex":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def write_rows(path: Path, rows: Iterable[Row], seal: Callable[[Path], None]) -> None:
    """Guarantee that `path` holds these rows, in this order: all of them or, after a kill, none.

    Args:
        seal: is shown `path.part` when it is whole, just before it becomes `path`.

    Raises:
        RunError: the file can't be written.
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
