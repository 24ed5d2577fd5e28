"""Query files: one query per line in .txt, one object per line in .jsonl, one row per query in .csv and .parquet."""

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import orjson

from pdistill.core.contract.jsontext import JsonObject, Row
from pdistill.core.contract.prompts import Message
from pdistill.core.contract.queries import Query
from pdistill.core.errors import UsageError, nearest, unknown

COLUMNS = ("query", "messages", "id", "reference", "slices", "group", "prompt")
"""The columns of a query file; `messages` replaces `query` and is a conversation whose last turn is the query."""
LONGEST_CELL = 2**31 - 1
"""Characters of a CSV cell; Python's own limit is lower than a long document."""
ENDINGS = (".txt", ".jsonl", ".csv", ".parquet")

"""A row of a query file, by the names in COLUMNS."""


def read_queries(path: Path, columns: Mapping[str, str] | None = None) -> Iterator[Query]:
    """Yield the queries of a file; blank lines and other columns are ignored.

    Args:
        columns: the file's own column names, by the names in COLUMNS.

    Raises:
        UsageError: the file cannot be read, or a row is not a valid query; it names the file and the line.
    """
    names = columns or {}
    for key in names:
        if key not in COLUMNS:
            raise unknown("column", key, COLUMNS)
    if path.suffix not in ENDINGS:
        raise UsageError(f"can't read queries from '{path}': its name must end in {', '.join(ENDINGS)}")
    if path.suffix == ".txt":
        if names:
            raise UsageError(f"'{path}' has no columns; a .txt file holds one query per line")
        yield from (Query(line) for line in read_lines(path) if line.strip())
        return
    rows = {".jsonl": _jsonl, ".csv": _csv}.get(path.suffix, partial(_parquet, names=names))
    seen = set(names.values())
    for where, row in rows(path):
        for key in row.keys() - seen:
            _check_name(key, row, names, where)
            seen.add(key)
        yield query_of(_renamed(row, names, where), where)


def _check_name(key: str, row: Row, names: Mapping[str, str], where: str) -> None:
    """Guarantee that a column is not one of COLUMNS in another spelling, which would be lost without a word.

    Raises:
        UsageError: it is: it differs in case, in whitespace, or in an s at its end.
    """
    meant = next((column for column in COLUMNS if _plain(column) == _plain(key)), key)
    if meant != key and meant not in row and meant not in names:
        raise UsageError(
            f"{where}: the column {key!r} is not '{meant}'; rename it, or give --column {meant}={_quoted(key)}"
        )


def _plain(name: str) -> str:
    return name.strip().casefold().removesuffix("s")


def _quoted(name: str) -> str:
    return name if name.isidentifier() else repr(name)


def read_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a UTF-8 text file without line ends and without a byte order mark.

    Raises:
        UsageError: the file cannot be read or is not UTF-8.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as file:
            for line in file:
                if "\0" in line:
                    raise UsageError(
                        f"can't read '{path}': it contains NUL characters, so it is not text; convert it to UTF-8"
                    )
                yield line.rstrip("\n").rstrip("\r")
    except OSError as error:
        raise UsageError(f"can't read '{path}': {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"can't read '{path}': it is not UTF-8 text ({error.reason}); convert it to UTF-8") from None


def read_text(path: Path) -> str:
    """Return the content of a UTF-8 text file without its last newline.

    Raises:
        UsageError: the file cannot be read or is not UTF-8.
    """
    return "\n".join(read_lines(path))


def parse_query(line: str, where: str) -> Query:
    """Return the query on one line of a .jsonl file.

    Args:
        where: the file and the line, for error messages.

    Raises:
        UsageError: the line is not a valid query.
    """
    return query_of(_object(line, where), where)


def query_of(row: Row, where: str) -> Query:
    """Return the query in a row.

    Args:
        where: the file and the line, for error messages.

    Raises:
        UsageError: the row is not a valid query.
    """
    text, earlier = _conversation(row, where)
    for content in (text, *(turn.content for turn in earlier)):
        _check_characters(content, "query", where)
    if not text.strip():
        raise UsageError(f"{where}: 'query' is empty; remove the row")
    slices = row.get("slices")
    if slices is not None and not (isinstance(slices, list) and all(isinstance(name, str) for name in slices)):
        raise UsageError(f"{where}: 'slices' must be a list of strings, not {_shown(slices)}")
    return Query(
        text=text,
        id=_text(row, "id", where) or "",
        reference=_text(row, "reference", where),
        slices=tuple(slices or ()),
        group=_text(row, "group", where),
        earlier=earlier,
        prompt=_text(row, "prompt", where) or "",
    )


def _conversation(row: Row, where: str) -> tuple[str, tuple[Message, ...]]:
    """Return the text of the query and the turns before it."""
    if row.get("messages") is None:
        if "query" not in row:
            hint = next((f"'{key}'{nearest(key, COLUMNS)}" for key in row if nearest(key, COLUMNS)), "")
            others = ", ".join(f"'{key}'" for key in list(row)[:5])
            keys = hint or (f"{others}; name the one with the query: --column query=NAME" if row else "none")
            raise UsageError(f"{where}: no key 'query'; found {keys}")
        if not isinstance(row["query"], str):
            raise UsageError(f"{where}: 'query' must be a string, not {_shown(row['query'])}")
        return row["query"], ()
    if row.get("query") is not None:
        raise UsageError(f"{where}: 'query' and 'messages' are mutually exclusive; give one of them")
    turns = row["messages"]
    if not isinstance(turns, list) or not turns or not all(_is_turn(turn) for turn in turns):
        raise UsageError(
            f"{where}: 'messages' must be a list of user and assistant turns, each with role and content, not "
            f"{_shown(turns)}; the system message is --prompt"
        )
    calling = next((turn for turn in turns if turn.get("tool_calls") or turn.get("function_call")), None)
    if calling is not None:
        raise UsageError(
            f"{where}: a turn of 'messages' calls a tool, which no prompt here can show: {_shown(calling)}; leave the row out"
        )
    if turns[-1]["role"] != "user":
        raise UsageError(f"{where}: the last of 'messages' must have the role 'user': it is the query")
    return turns[-1]["content"], tuple(Message(turn["role"], turn["content"]) for turn in turns[:-1])


def _is_turn(turn: object) -> bool:
    return isinstance(turn, dict) and turn.get("role") in ("user", "assistant") and isinstance(turn.get("content"), str)


def _text(row: Row, key: str, where: str) -> str | None:
    value = row.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        nan = isinstance(value, float) and math.isnan(value)
        if nan or isinstance(value, bool) or not isinstance(value, int | float):
            raise UsageError(f"{where}: '{key}' must be a string or a number, not {_shown(value)}")
        value = str(value)
    return _check_characters(value, key, where)


def has_half_pair(text: str) -> bool:
    """Return whether the text has half of a surrogate pair, which JSON can hold and UTF-8 can't."""
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)


def _check_characters(text: str, key: str, where: str) -> str:
    if has_half_pair(text):
        raise UsageError(f"{where}: '{key}' contains half of a surrogate pair, which is not a character; fix the file")
    return text


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)[:60]


def _renamed(row: Row, names: Mapping[str, str], where: str) -> Row:
    for name in names.values():
        if name not in row:
            raise unknown(f"column of {where}:", name, row)
    return {**row, **{key: row[name] for key, name in names.items()}} if names else row


def _object(line: str, where: str) -> Row:
    try:
        row = orjson.loads(line)
    except ValueError:
        row = _lenient(line, where)
    if not isinstance(row, dict):
        raise UsageError(f'{where}: not a JSON object; write {{"query": ...}}')
    return row


def _lenient(line: str, where: str) -> Any:
    """Return what the standard library parses where orjson does not: lone surrogates, NaN."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where}: not valid JSON ({error})") from None


def _jsonl(path: Path) -> Iterator[tuple[str, Row]]:
    for number, line in enumerate(read_lines(path), start=1):
        if line.strip():
            where = f"{path}, line {number}"
            yield where, _object(line, where)


def _csv(path: Path) -> Iterator[tuple[str, Row]]:
    """Yield the rows of a file with a header line; empty cells are missing values, slices are separated by commas."""
    csv.field_size_limit(LONGEST_CELL)
    rows = csv.DictReader((f"{line}\n" for line in read_lines(path)), strict=True)
    try:
        names = rows.fieldnames or []
        _check_once(names, f"{path}, line {rows.line_num}")
        for row in rows:
            where = f"{path}, line {rows.line_num}"
            if None in row or None in row.values():
                raise UsageError(f"{where}: the number of cells differs from the header line's; put texts in quotes")
            cells: JsonObject = {key: cell for key, cell in row.items() if cell or key == "query"}
            if "slices" in cells:
                cells["slices"] = [name.strip() for name in cells["slices"].split(",") if name.strip()]
            yield where, cells
    except csv.Error as error:
        raise UsageError(f"{path}, line {rows.line_num}: not valid CSV ({error})") from None


def _check_once(names: Sequence[str], where: str) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"{where}: the column {twice!r} is there twice; rename one of them")


def _parquet(path: Path, names: Mapping[str, str]) -> Iterator[tuple[str, Row]]:
    """Yield the rows of a file; a column that is not asked for is None, as its values may be none of Python's."""
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ModuleNotFoundError:
        raise UsageError(f"reading '{path}' needs the package 'pyarrow'; run: pip install pyarrow") from None
    asked = {*names.values(), *(name for name in COLUMNS if name not in names)}
    try:
        with path.open("rb") as raw, ParquetFile(raw) as file:
            found = file.schema_arrow.names
            _check_once(found, str(path))
            number = 0
            for batch in file.iter_batches(columns=[name for name in found if name in asked]):
                cells = {name: repeat(None, len(batch)) for name in found}
                cells |= {name: _cells(batch.column(name), name, path) for name in batch.schema.names}
                for row in zip(*cells.values(), strict=True):
                    number += 1
                    yield f"{path}, row {number}", dict(zip(found, row, strict=True))
    except OSError as error:
        raise UsageError(f"can't read '{path}': {(error.strerror or str(error)).lower()}") from None
    except (ArrowException, UnicodeDecodeError) as error:
        raise UsageError(f"can't read '{path}': {str(error).splitlines()[0]}") from None


def _cells(column: Any, name: str, path: Path) -> list[Any]:
    """Return the values of a column; Python may have no such date, time or text."""
    try:
        values: list[Any] = column.to_pylist()
    except (ValueError, ArithmeticError, LookupError):
        raise UsageError(
            f"can't read the column {name!r} of '{path}' as {str(column.type)[:60]}; store it as UTF-8 text"
        ) from None
    return values
