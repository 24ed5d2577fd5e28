from pathlib import Path

import orjson
import pytest

from pdistill.core.contract.sampling import Key
from pdistill.core.errors import RunError
from pdistill.core.store.answerrow import AnswerRow
from pdistill.core.store.rowfile import AnswerFile
from pdistill.core.store.rows import read_rows


@pytest.fixture
def rows(tmp_path: Path) -> AnswerFile:
    return AnswerFile(tmp_path / "rows.jsonl")


def numbers(path: Path) -> list[int]:
    return [row["number"] for row in read_rows(path)]


def row(number: int) -> dict[str, object]:
    return AnswerRow(number, str(number), "a dog", "00", "x" * number, "stop", 1, 1).as_row()


def test_rows_arrive_in_any_order_and_end_in_that_of_their_places(rows: AnswerFile) -> None:
    with rows.open(4) as writer:
        for number in (2, 0, 3, 1):
            writer.append([row(number)])
        assert numbers(rows.part) == [2, 0, 3, 1]
        assert not rows.path.exists()
        writer.finish(lambda part: None)
    assert rows.complete
    assert numbers(rows.path) == [0, 1, 2, 3]
    assert not rows.part.exists()


def test_rows_are_read_while_the_file_is_written_and_after(rows: AnswerFile) -> None:
    assert list(rows.rows()) == []
    with rows.open(3) as writer:
        writer.append([row(2), row(0)])
    with rows.part.open("ab") as file:
        file.write(b'{"number": 1, "te')
    assert [each["number"] for each in rows.rows()] == [2, 0]
    with rows.open(3) as writer:
        writer.append([row(1)])
        writer.finish(lambda part: None)
    assert [each["number"] for each in rows.rows()] == [0, 1, 2]


def test_a_torn_last_line_is_written_again(rows: AnswerFile) -> None:
    with rows.open(3) as writer:
        writer.append([row(0)])
    with rows.part.open("ab") as file:
        file.write(b'{"number": 1, "te')
    with rows.open(3) as writer:
        assert Key(0) in writer
        assert Key(1) not in writer
        writer.append([row(1)])
    assert numbers(rows.part) == [0, 1]


def test_keep_drops_the_later_rows(rows: AnswerFile) -> None:
    with rows.open(4) as writer:
        writer.append([row(number) for number in range(3)])
        writer.keep(1)
        assert writer.count == 1
        assert Key(2) not in writer
        writer.append([row(2)])
    assert numbers(rows.part) == [0, 2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (orjson.dumps(row(0)) + b"\n" + b'{"number": 0}\n', "row 0 occurs twice"),
        (b'{"number": 7}\n', "row 7 was not expected"),
        (b'{"other": 7}\n', "line 1: not a row"),
        (b'garbage\n{"number": 1}\n', "line 1: not a row"),
    ],
)
def test_an_edited_file_is_an_error_and_stays(rows: AnswerFile, content: bytes, message: str) -> None:
    rows.part.write_bytes(content)
    with pytest.raises(RunError, match=message):
        rows.open(3)
    assert rows.part.read_bytes() == content


def test_a_full_disk_is_one_clear_line_and_the_rows_before_stay(
    rows: AnswerFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rows.open(3) as writer:
        writer.append([row(0)])

        def full(content: bytes) -> None:
            writer._file.write(content[:5])
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(writer, "_write", full)
        with pytest.raises(RunError, match="no space left on device; everything done so far is saved"):
            writer.append([row(1)])
    with rows.open(3) as writer:
        assert (Key(0) in writer, Key(1) in writer) == (True, False)
