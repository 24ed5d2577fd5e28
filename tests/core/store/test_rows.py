from pathlib import Path

import pytest

from pdistill.core.contract.queries import Query
from pdistill.core.errors import RunError
from pdistill.core.files import write_file
from pdistill.core.store.rows import (
    NUMBER,
    RowIndex,
    append_row,
    encode,
    read_log,
    read_records,
    read_rows,
    side_by_side,
    write_rows,
)


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"text": "naïve \u2028 \r\n \x00"},
        {"text": "lone \ud800 surrogate"},
        {"number": 3},
    ]
    write_rows(tmp_path / "rows.jsonl", rows, lambda part: None)
    assert list(read_rows(tmp_path / "rows.jsonl")) == rows
    assert not list(tmp_path.glob("*.part"))


def test_a_row_is_one_line() -> None:
    assert encode({"text": "a\nb\r\u2028c"}).count(b"\n") == 1


@pytest.mark.parametrize(
    "damage",
    [b'{"number": 1}\n{"num', b'{"number": 1}\nnot json\n', b"[1]\n", b'{"number": 1}', b"[" * 100_000 + b"\n"],
)
def test_a_damaged_file_is_named_with_its_line(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(damage)
    with pytest.raises(RunError, match=r"rows\.jsonl, line [12]: not a row"):
        list(read_rows(path))


def test_a_log_drops_its_torn_last_line(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    assert read_log(path) == []
    append_row(path, {"step": 1})
    with path.open("ab") as file:
        file.write(b'{"step"')
    assert read_log(path) == [{"step": 1}]
    append_row(path, {"step": 2})
    assert read_log(path) == [{"step": 1}, {"step": 2}]


def test_a_failed_write_keeps_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    write_file(path, b"old")
    (tmp_path / "file.json.part").mkdir()
    with pytest.raises(RunError, match="can't use .*everything done so far is saved"):
        write_file(path, b"new")
    assert path.read_bytes() == b"old"


def test_an_index_reads_the_rows_that_were_wanted(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    queries = [Query("ü" * number, id=str(number), number=number) for number in range(10)]
    write_rows(path, (query.as_row() for query in queries), lambda part: None)
    with RowIndex(Query, path, lambda query: query.number % 2 == 1) as index:
        assert [index[place] for place in reversed(range(len(index)))] == queries[::-2]


def test_a_damaged_row_is_named_by_its_line_wherever_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write_rows(path, (Query("x", id=str(number), number=number).as_row() for number in range(6)), lambda part: None)
    with RowIndex(Query, path, lambda query: query.number % 2 == 1) as index:
        content = path.read_bytes()
        path.write_bytes(content.replace(b'"number":3', b'"number"=3'))
        with pytest.raises(RunError, match="line 4: not a row"):
            index[1]
    path.write_bytes(content.replace(b'"slices":[]', b'"slices":7'))
    with pytest.raises(RunError, match="line 1: not a row"):
        list(read_records(Query, path))


def test_a_row_without_what_its_reader_needs_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    for row in ({"step": 1}, {"step": "x"}):
        append_row(path, row)
    with pytest.raises(RunError, match=r"log.jsonl, line 2: not a row \(step is 'x'\)"):
        read_log(path, {"step": int})
    with pytest.raises(RunError, match=r"log.jsonl, line 1: not a row \(loss is missing\)"):
        list(read_rows(path, {"loss": NUMBER}))


def test_a_row_that_is_read_by_its_offset_is_named_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "queries.jsonl"
    rows = [Query("abc", id=str(at), number=at).as_row() for at in range(4)]
    write_rows(path, rows, lambda part: None)
    with RowIndex(Query, path, lambda query: query.number > 1) as index:
        path.write_bytes(path.read_bytes().replace(b'"id":"3"', b'"id": 3 '))
        with pytest.raises(RunError, match=r"queries.jsonl, line 4: not a row \(id is 3\)"):
            index[1]


def test_files_that_belong_together_have_as_many_rows() -> None:
    paths = (Path("a.jsonl"), Path("b.jsonl"))
    assert list(side_by_side([1], [2], paths)) == [(1, 2)]
    with pytest.raises(RunError, match="'a.jsonl' and 'b.jsonl' do not have the same number of rows"):
        list(side_by_side([1], [2, 3], paths))
