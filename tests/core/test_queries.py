from pathlib import Path

import pytest

from pdistill.core.errors import UsageError
from pdistill.core.queries import Query, numbered, query_from_row, read_queries, read_text


def test_a_text_file_holds_a_query_a_line(tmp_path: Path) -> None:
    path = tmp_path / "queries.txt"
    path.write_bytes("\ufefffirst\r\n\n  second \u2028 line\rstill\n".encode())
    assert [query.text for query in read_queries(path)] == ["first", "  second \u2028 line\rstill"]


def test_a_jsonl_file_holds_a_query_an_object(tmp_path: Path) -> None:
    path = tmp_path / "queries.jsonl"
    path.write_text('{"query": "a", "id": 7, "reference": 3, "slices": ["x"], "group": "g"}\n\n{"query": "b"}\n')
    assert list(read_queries(path)) == [Query("a", "7", "3", ("x",), "g"), Query("b")]


def test_queries_get_their_numbers_and_ids() -> None:
    queries = list(numbered(lambda: [Query("a"), Query("b", "name"), Query("c")], limit=2))
    assert [(query.number, query.id) for query in queries] == [(0, "0"), (1, "name")]
    assert [query_from_row(query.row()) for query in queries] == queries


def test_equal_ids_are_an_error() -> None:
    with pytest.raises(UsageError, match="queries number 0 and 2 have one id, 'x'"):
        list(numbered(lambda: [Query("a", "x"), Query("b"), Query("c", "x")]))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: not valid JSON"),
        ("[1]", "line 2: not a JSON object"),
        ('{"qeury": "a"}', "line 2: no key 'query'; there is 'qeury', did you mean 'query'"),
        ('{"query": 3}', "line 2: 'query' must be a text, not 3"),
        ('{"query": null}', "line 2: 'query' must be a text, not null"),
        ('{"query": "a", "slices": "x"}', "line 2: 'slices' must be a list of texts, not \"x\""),
        ('{"query": "a", "slices": [1]}', "line 2: 'slices' must be a list of texts"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "queries.jsonl"
    path.write_text('{"query": "fine"}\n' + line + "\n")
    with pytest.raises(UsageError, match=message):
        list(read_queries(path))


def test_files_that_cant_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="must end in .txt or .jsonl"):
        list(read_queries(tmp_path / "queries.xls"))
    with pytest.raises(UsageError, match=r"can't read .*missing.txt': no such file"):
        list(read_queries(tmp_path / "missing.txt"))
    latin = tmp_path / "latin.txt"
    latin.write_bytes("café\n".encode("latin-1"))
    with pytest.raises(UsageError, match="it is not UTF-8 text"):
        list(read_queries(latin))


@pytest.mark.parametrize(("content", "text"), [("a\n", "a"), ("a", "a"), ("a\n\n", "a\n"), ("a\r\nb\r\n", "a\nb")])
def test_one_newline_at_the_end_of_a_prompt_file_is_dropped(tmp_path: Path, content: str, text: str) -> None:
    path = tmp_path / "prompt.txt"
    path.write_bytes(content.encode())
    assert read_text(path) == text
