import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from pdistill.core.contract.prompts import Message, Messages
from pdistill.core.contract.queries import Query
from pdistill.core.contract.queryfiles import read_queries, read_text
from pdistill.core.contract.task import FileTask
from pdistill.core.errors import UsageError


def test_text_file_has_one_query_per_line(tmp_path: Path) -> None:
    path = tmp_path / "queries.txt"
    path.write_bytes("\ufefffirst\r\n\n  second \u2028 line\rstill\n".encode())
    assert [query.text for query in read_queries(path)] == ["first", "  second \u2028 line\rstill"]


def test_jsonl_file_has_one_query_per_object(tmp_path: Path) -> None:
    path = tmp_path / "queries.jsonl"
    path.write_text('{"query": "a", "id": 7, "reference": 3, "slices": ["x"], "group": "g"}\n\n{"query": "b"}\n')
    assert list(read_queries(path)) == [Query("a", "7", "3", ("x",), "g"), Query("b")]


def test_an_id_may_be_a_number_that_no_float_holds(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text(f'{{"query": "a", "id": {10**400}}}\n')
    assert [query.id for query in read_queries(path)] == [str(10**400)]


def test_csv_file_has_one_query_per_row(tmp_path: Path) -> None:
    path = tmp_path / "queries.csv"
    path.write_bytes(b'\xef\xbb\xbfquery,reference,slices,more\r\n"a, or\n""b""",x,"s, t",1\r\nc,,,\r\n')
    assert list(read_queries(path)) == [Query('a, or\n"b"', "", "x", ("s", "t")), Query("c")]


def test_parquet_file_has_one_query_per_row(tmp_path: Path) -> None:
    path = tmp_path / "queries.parquet"
    columns = {"query": ["a", "b"], "id": [7, 8], "slices": [["x"], None]}
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    assert list(read_queries(path)) == [Query("a", "7", None, ("x",)), Query("b", "8")]


UNREADABLE = {
    "timestamp[ns]": pyarrow.array([1], pyarrow.timestamp("ns")),
    "timestamp[us, tz=No/Where]": pyarrow.array([1], pyarrow.timestamp("us", "No/Where")),
    "date32[day]": pyarrow.array([2**30], pyarrow.date32()),
    "duration[s]": pyarrow.array([2**62], pyarrow.duration("s")),
    "string": pyarrow.array([b"\xff"], pyarrow.binary()).view(pyarrow.string()),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_parquet_values_that_python_has_not_are_read_only_if_asked_for(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "queries.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"query": ["a"], "when": UNREADABLE[kind]}), path)
    assert list(read_queries(path)) == [Query("a")]
    with pytest.raises(UsageError) as raised:
        list(read_queries(path, {"id": "when"}))
    assert str(raised.value) == f"can't read the column 'when' of '{path}' as {kind}; store it as UTF-8 text"
    pyarrow.parquet.write_table(pyarrow.table({"query": UNREADABLE[kind], "text": ["a"]}), path)
    assert list(read_queries(path, {"query": "text"})) == [Query("a")]


def test_a_parquet_column_that_is_there_twice_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "queries.parquet"
    texts = pyarrow.array(["a"])
    pyarrow.parquet.write_table(pyarrow.Table.from_arrays([texts, texts], names=["query", "query"]), path)
    with pytest.raises(UsageError, match="parquet: the column 'query' is there twice"):
        list(read_queries(path))


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_columns_may_have_names_of_their_own(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"queries.{ending}"
    path.write_text("text,label\na,x\n" if ending == "csv" else '{"text": "a", "label": "x"}\n')
    assert list(read_queries(path, {"query": "text", "reference": "label"})) == [Query("a", reference="x")]
    with pytest.raises(UsageError, match=f"unknown column of .*{ending}, line [12]: 'txt', did you mean 'text'"):
        list(read_queries(path, {"query": "txt"}))
    with pytest.raises(UsageError, match="unknown column 'refrence', did you mean 'reference'"):
        list(read_queries(path, {"refrence": "label"}))


def test_a_conversation_ends_in_the_query(tmp_path: Path) -> None:
    path = tmp_path / "queries.jsonl"
    turns = (
        '[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]'
    )
    path.write_text(f'{{"messages": {turns}}}\n')
    (query,) = read_queries(path)
    earlier = (Message("user", "a"), Message("assistant", "b"))
    assert query == Query("c", earlier=earlier) == Query.from_row(query.as_row())
    task = FileTask()
    task.prompt = "rules"
    assert task.teacher_prompt(query) == Messages((Message("system", "rules"), *earlier, Message("user", "c")))
    assert task.student_prompt(query) == Messages((*earlier, Message("user", "c")))
    task.format = "text"
    with pytest.raises(UsageError, match="query 'c' has earlier turns, which only --format chat supports"):
        task.student_prompt(query)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: not valid JSON"),
        ("[1]", "line 2: not a JSON object"),
        ('{"qeury": "a"}', "line 2: no key 'query'; found 'qeury', did you mean 'query'"),
        ('{"query": 3}', "line 2: 'query' must be a string, not 3"),
        ('{"query": null}', "line 2: 'query' must be a string, not null"),
        ('{"query": "a", "slices": "x"}', "line 2: 'slices' must be a list of strings, not \"x\""),
        ('{"query": "a", "slices": [1]}', "line 2: 'slices' must be a list of strings"),
        ('{"query": "a", "messages": [1]}', "line 2: 'query' and 'messages' are mutually exclusive"),
        (
            '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "", "tool_calls": [{"id": "1"}]}, '
            '{"role": "user", "content": "b"}]}',
            "line 2: a turn of 'messages' calls a tool, which no prompt here can show",
        ),
        ('{"messages": []}', "line 2: 'messages' must be a list of user and assistant turns"),
        ('{"messages": [{"role": "system", "content": "a"}]}', "the system message is --prompt"),
        ('{"messages": [{"role": "assistant", "content": "a"}]}', "the last of 'messages' must have the role 'user'"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "queries.jsonl"
    path.write_text('{"query": "fine"}\n' + line + "\n")
    with pytest.raises(UsageError, match=message):
        list(read_queries(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("query,id\na\n", "line 2: the number of cells differs from the header line's"),
        ("query\na,b\n", "line 2: the number of cells differs"),
        ('query\n"a\n', "not valid CSV"),
        ("text\na\n", "line 2: no key 'query'"),
    ],
)
def test_a_wrong_row_of_a_csv_file_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "queries.csv"
    path.write_text(content)
    with pytest.raises(UsageError, match=message):
        list(read_queries(path))


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"must end in \.txt, \.jsonl, \.csv, \.parquet"):
        list(read_queries(tmp_path / "queries.xls"))
    for ending in ("txt", "parquet"):
        with pytest.raises(UsageError, match=f"can't read .*missing.{ending}': no such file"):
            list(read_queries(tmp_path / f"missing.{ending}"))
    latin = tmp_path / "latin.txt"
    latin.write_bytes("café\n".encode("latin-1"))
    with pytest.raises(UsageError, match="it is not UTF-8 text"):
        list(read_queries(latin))
    with pytest.raises(UsageError, match="has no columns"):
        list(read_queries(latin, {"query": "text"}))
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1")
    with pytest.raises(UsageError, match="can't read .*broken.parquet"):
        list(read_queries(broken))


@pytest.mark.parametrize(("content", "text"), [("a\n", "a"), ("a", "a"), ("a\n\n", "a\n"), ("a\r\nb\r\n", "a\nb")])
def test_one_newline_at_the_end_of_a_prompt_file_is_dropped(tmp_path: Path, content: str, text: str) -> None:
    path = tmp_path / "prompt.txt"
    path.write_bytes(content.encode())
    assert read_text(path) == text


@pytest.mark.parametrize("key", ["Reference", " reference", "references", "REFERENCE "])
def test_a_column_in_another_spelling_is_not_lost(key: str, tmp_path: Path) -> None:
    path = tmp_path / "queries.jsonl"
    path.write_text(json.dumps({"query": "a", key: "b"}) + "\n")
    with pytest.raises(UsageError, match=f"line 1: the column '{key}' is not 'reference'; rename it, or give --column"):
        list(read_queries(path))
    assert next(iter(read_queries(path, {"reference": key}))).reference == "b"


def test_a_column_beside_its_own_spelling_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "queries.jsonl"
    path.write_text('{"query": "a", "reference": "b", "References": ["c"], "note": 1}\n')
    assert [query.reference for query in read_queries(path)] == ["b"]


def test_a_csv_column_that_is_there_twice_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "queries.csv"
    path.write_text("query,reference,query\na,b,c\n")
    with pytest.raises(UsageError, match="line 1: the column 'query' is there twice"):
        list(read_queries(path))


def test_a_long_csv_cell_is_read(tmp_path: Path) -> None:
    path = tmp_path / "queries.csv"
    path.write_text(f"query\n{'a' * 200_000}\n")
    assert [len(query.text) for query in read_queries(path)] == [200_000]
