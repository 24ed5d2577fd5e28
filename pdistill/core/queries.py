"""The queries: what a task asks, and how they are read from .txt and .jsonl files."""

import json
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from pdistill.core.errors import UsageError, nearest

T = TypeVar("T")

QUERY_KEYS = ("query", "id", "reference", "slices", "group")


@dataclass(frozen=True, slots=True)
class Query:
    """One query.

    Args:
        text: what the user asks.
        id: a name that no other query has; empty: the number.
        reference: the right answer, where it is known; only evaluation looks at it.
        slices: names of the breakdowns that the query belongs to.
        group: queries of one group never straddle the split.
        number: the place in the task, from 0; the core sets it.
    """

    text: str
    id: str = ""
    reference: str | None = None
    slices: tuple[str, ...] = ()
    group: str | None = None
    number: int = 0

    def row(self) -> dict[str, Any]:
        """Return the query as a row of queries.jsonl."""
        return {
            "number": self.number,
            "id": self.id,
            "query": self.text,
            "reference": self.reference,
            "slices": list(self.slices),
            "group": self.group,
        }


def query_from_row(row: Mapping[str, Any]) -> Query:
    """Return the query that a row of queries.jsonl holds."""
    return Query(row["query"], row["id"], row["reference"], tuple(row["slices"]), row["group"], row["number"])


def numbered(queries: Callable[[], Iterable[Query]], limit: int | None = None) -> Iterator[Query]:
    """Yield the first `limit` queries with their numbers, and the number as id where there is none.

    Args:
        queries: makes the queries, each time in the same order. Of each id a hash is held, 8 bytes.

    Raises:
        UsageError: two queries have one id; after the last query.
    """
    import numpy as np

    hashes = array("q")
    for number, query in enumerate(islice(queries(), limit)):
        name = query.id or str(number)
        hashes.append(hash(name))
        yield Query(query.text, name, query.reference, query.slices, query.group, number)
    found, counts = np.unique(hashes, return_counts=True)
    if len(found) < len(hashes):
        _refuse_equal(queries, set(found[counts > 1].tolist()))


def _refuse_equal(queries: Callable[[], Iterable[Query]], suspects: set[int]) -> None:
    seen: dict[str, int] = {}
    for number, query in enumerate(queries()):
        name = query.id or str(number)
        if hash(name) not in suspects:
            continue
        if name in seen:
            raise UsageError(
                f"queries number {seen[name]} and {number} have one id, {name!r}; give each an id of its own, or none"
            )
        seen[name] = number


def read_queries(path: Path) -> Iterator[Query]:
    """Yield the queries of a file: one a line in .txt, one JSON object a line in .jsonl; blank lines are left out.

    Raises:
        UsageError: the file can't be read, or a line is no query; it names the file and the line.
    """
    if path.suffix not in (".txt", ".jsonl"):
        raise UsageError(f"can't read queries from '{path}': its name must end in .txt or .jsonl")
    for at, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        yield Query(line) if path.suffix == ".txt" else parse_query(line, f"{path}, line {at}")


def read_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a UTF-8 text file without their line ends, and without a byte order mark.

    Raises:
        UsageError: the file can't be read or is not UTF-8.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as file:
            for line in file:
                yield line.rstrip("\n").rstrip("\r")
    except OSError as error:
        raise UsageError(f"can't read '{path}': {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"can't read '{path}': it is not UTF-8 text ({error.reason}); convert it to UTF-8") from None


def read_text(path: Path) -> str:
    """Return a UTF-8 text file's content without its last newline.

    Raises:
        UsageError: the file can't be read or is not UTF-8.
    """
    return "\n".join(read_lines(path))


def parse_query(line: str, where: str) -> Query:
    """Return the query that one line of a .jsonl file holds.

    Args:
        where: the file and the line, for error messages.

    Raises:
        UsageError: the line is no query.
    """
    try:
        row = json.loads(line)
    except ValueError as error:
        raise UsageError(f"{where}: not valid JSON ({error})") from None
    if not isinstance(row, dict):
        raise UsageError(f'{where}: not a JSON object; write {{"query": ...}}')
    if "query" not in row:
        hint = next((f"'{key}'{nearest(key, QUERY_KEYS)}" for key in row if nearest(key, QUERY_KEYS)), "")
        raise UsageError(f"{where}: no key 'query'" + (f"; there is {hint}" if hint else ""))
    text, slices = _typed(row, "query", str, where), _typed(row, "slices", list, where) or []
    if text is None or not all(isinstance(name, str) for name in slices):
        wrong = "'query' must be a text, not null" if text is None else "'slices' must be a list of texts"
        raise UsageError(f"{where}: {wrong}")
    return Query(
        text=text,
        id="" if row.get("id") is None else str(row["id"]),
        reference=None if row.get("reference") is None else str(row["reference"]),
        slices=tuple(slices),
        group=None if row.get("group") is None else str(row["group"]),
    )


def _typed(row: Mapping[str, Any], key: str, kind: type[T], where: str) -> T | None:
    value = row.get(key)
    if value is not None and not isinstance(value, kind):
        expected = "a text" if kind is str else "a list of texts"
        raise UsageError(f"{where}: '{key}' must be {expected}, not {json.dumps(value)[:60]}")
    return value
