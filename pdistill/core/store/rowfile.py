"""Files of rows that are written over hours, in order of arrival, and survive being killed at any moment.

Rows are appended to `X.part`; once it is complete, its rows are sorted by position and it is renamed to `X`. The file
is complete if `X` exists.
"""

import os
from array import array
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from pdistill.core.contract.jsontext import JsonObject, Keys, Row
from pdistill.core.contract.sampling import Key
from pdistill.core.errors import RunError
from pdistill.core.files import storage_error
from pdistill.core.store.answerrow import AnswerRow
from pdistill.core.store.rows import DAMAGE, NO_KEYS, decode, encode, record, unreadable


class RowFile:
    """A file of rows, incomplete or complete.

    Args:
        path: the file; `path.part` holds its rows until it is complete.
        place: returns the position of a row in the complete file; no two rows have the same.
        keys: what every row has.
    """

    def __init__(self, path: Path, place: Callable[[Row], int], keys: Keys = NO_KEYS) -> None:
        self.keys = keys
        self.path = path
        self.part = path.with_name(path.name + ".part")
        self.place = place

    @property
    def complete(self) -> bool:
        """Whether the file holds all its rows, in order."""
        return self.path.exists()

    def rows(self) -> Iterator[JsonObject]:
        """Yield the stored rows, in order of arrival where the file is not complete, without a truncated last line.

        Raises:
            RunError: the file cannot be read, or a line is not a row.
        """
        path = self.path if self.complete else self.part
        try:
            with path.open("rb") as file:
                for at, line in enumerate(file, start=1):
                    if line.endswith(b"\n"):
                        yield decode(line, path, at, self.keys)
        except FileNotFoundError:
            return
        except OSError as error:
            raise storage_error(error, path) from None

    def check(self, row: Row) -> None:
        """Guarantee that a stored row is one of this file.

        Raises:
            TypeError, KeyError, ValueError, AttributeError: it is not.
        """

    def open(self, size: int) -> "RowWriter":
        """Return a writer that knows which of `size` rows are stored already.

        Raises:
            RunError: the stored rows cannot be read, or a row is duplicate or unexpected.
        """
        return RowWriter(self, size)


ANSWER: Keys = {"number": int, "prompt_tokens": int, "tokens": int}


class AnswerFile(RowFile):
    """A file of answers, ordered by query and sample.

    Args:
        samples: answers per query.
    """

    def __init__(self, path: Path, samples: int = 1) -> None:
        super().__init__(path, lambda row: self.place_of(Key(row["number"], row.get("sample", 0))), ANSWER)
        self._samples = samples

    def place_of(self, key: Key) -> int:
        """Return the position of an answer in the complete file."""
        return key.number * self._samples + key.sample

    def check(self, row: Row) -> None:
        """Guarantee that a stored row is an answer, all values of which have their types.

        Raises:
            TypeError, KeyError, ValueError, AttributeError: it is not.
        """
        AnswerRow.from_row(row)

    def answers(self) -> Iterator[AnswerRow]:
        """Yield the stored answers, in order of arrival where the file is not complete.

        Raises:
            RunError: the file cannot be read, or a line is not an answer.
        """
        path = self.path if self.complete else self.part
        for at, row in enumerate(self.rows(), start=1):
            yield record(AnswerRow, row, path, at)

    def open(self, size: int) -> "AnswerWriter":
        """Return a writer that knows which of `size` answers are stored already.

        Raises:
            RunError: the stored answers cannot be read, or one is duplicate or unexpected.
        """
        return AnswerWriter(self, size)


class RowWriter:
    """Appends rows to `X.part`, which becomes `X` at the end; a context manager."""

    def __init__(self, rows: RowFile, size: int) -> None:
        self._rows = rows
        self._filled = bytearray(size)
        self._order = array("q")
        self._offsets = array("q")
        self.count = 0
        try:
            rows.part.touch()
            self._file: BinaryIO = rows.part.open("r+b", buffering=0)
        except OSError as error:
            raise storage_error(error, rows.part) from None
        try:
            self._read_back()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def name(self) -> str:
        """The name of the complete file."""
        return self._rows.path.name

    def keep(self, last: int) -> None:
        """Drop all rows but the first `last` in order of arrival."""
        if last < self.count:
            self._end = self._offsets[last]
            for place in self._order[last:]:
                self._filled[place] = 0
            del self._order[last:], self._offsets[last:]
            self.count = last
            self._file.truncate(self._end)
            self._file.seek(self._end)

    def append(self, rows: Iterable[Row]) -> None:
        """Append rows in one write.

        Raises:
            RunError: they cannot be written; the rows stored before are kept.
        """
        lines = []
        for row in rows:
            line = encode(row)
            self._note(self._rows.place(row), len(line))
            lines.append(line)
        content = b"".join(lines)
        try:
            self._write(content)
        except OSError as error:
            raise storage_error(error, self._rows.part) from None

    def _write(self, content: bytes) -> None:
        remaining = memoryview(content)
        while remaining:
            remaining = remaining[self._file.write(remaining) :]

    def finish(self, seal: Callable[[Path], None]) -> None:
        """Guarantee that the complete file exists, its rows sorted by position.

        Args:
            seal: called with `X.part` once it is complete, just before it becomes `X`.

        Raises:
            RunError: it cannot be written.
        """
        import numpy as np

        try:
            if np.any(np.diff(self._order) < 0):
                self._sort()
            os.fsync(self._file.fileno())
            seal(self._rows.part)
            self._rows.part.replace(self._rows.path)
        except OSError as error:
            raise storage_error(error, self._rows.path) from None

    def _sort(self) -> None:
        """Replace `X.part` with the same rows sorted by position; only offsets are held in memory."""
        import numpy as np

        ordered = self._rows.part.with_suffix(".sorted")
        with ordered.open("wb") as file:
            for at in np.argsort(self._order, kind="stable").tolist():
                end = self._offsets[at + 1] if at + 1 < len(self._offsets) else self._end
                self._file.seek(self._offsets[at])
                file.write(self._file.read(end - self._offsets[at]))
        self._file.close()
        ordered.replace(self._rows.part)
        self._file = self._rows.part.open("r+b", buffering=0)

    def _read_back(self) -> None:
        self._end = 0
        with self._rows.part.open("rb") as file:
            for at, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    break  # truncated when the process was killed; it is written again
                row = decode(line, self._rows.part, at)
                try:
                    self._note(self._rows.place(row), len(line))
                    self._rows.check(row)
                except DAMAGE as error:
                    raise unreadable(self._rows.part, at, error) from None
        self._file.truncate(self._end)
        self._file.seek(self._end)

    def _note(self, place: int, length: int) -> None:
        if not 0 <= place < len(self._filled) or self._filled[place]:
            problem = "occurs twice" if 0 <= place < len(self._filled) else "was not expected"
            raise RunError(
                f"{self._rows.part}: row {place} {problem}; the file was edited; restore it or start a new run"
            )
        self._filled[place] = 1
        self._order.append(place)
        self._offsets.append(self._end)
        self._end += length
        self.count += 1


class AnswerWriter(RowWriter):
    """Appends answers to `X.part`, which becomes `X` at the end; a context manager."""

    def __init__(self, answers: AnswerFile, size: int) -> None:
        super().__init__(answers, size)
        self._answers = answers

    def __contains__(self, key: Key) -> bool:
        return bool(self._filled[self._answers.place_of(key)])

    def add(self, answers: Iterable[AnswerRow]) -> None:
        """Append answers in one write.

        Raises:
            RunError: they cannot be written; the answers stored before are kept.
        """
        self.append(answer.as_row() for answer in answers)
