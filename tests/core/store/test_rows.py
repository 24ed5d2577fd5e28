from pathlib import Path

import pytest

from pdistill.core.errors import RunError
from pdistill.core.files import write_file
from pdistill.core.store.rows import RowIndex, append_row, encode, read_log, read_rows, write_rows


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


@pytest.mark.parametrize("damage", [b'{"number": 1}\n{"num', b'{"number": 1}\nnot json\n', b"[1]\n", b'{"number": 1}'])
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
    with pytest.raises(RunError, match="can't use .*what was there is kept"):
        write_file(path, b"new")
    assert path.read_bytes() == b"old"


def test_an_index_reads_the_rows_that_were_wanted(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write_rows(path, [{"number": number, "text": "ü" * number} for number in range(10)], lambda part: None)
    with RowIndex(path, lambda row: row["number"] % 2 == 1) as index:
        assert [index[place]["number"] for place in reversed(range(len(index)))] == [9, 7, 5, 3, 1]
