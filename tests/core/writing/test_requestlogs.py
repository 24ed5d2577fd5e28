import json
from pathlib import Path
from typing import Any

import pytest

from pdistill.core.contract.queryfiles import read_queries
from pdistill.core.errors import TaskError, UsageError
from pdistill.core.writing import requestlogs
from pdistill.core.writing.mask import Mask
from pdistill.core.writing.requestlogs import RequestLogs

SYSTEM = {"role": "system", "content": "You sort.\n"}


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def log(folder: Path, *rows: Any) -> Path:
    path = folder / "log.jsonl"
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
    return path


def test_half_of_a_surrogate_pair_is_left_out_as_no_run_reads_it(tmp_path: Path) -> None:
    turns = [user("a"), assistant("x \udc80"), user("b")]
    read = RequestLogs()
    output = tmp_path / "queries.jsonl"
    rows = ({"messages": [user("a \ud83d b")]}, {"messages": turns}, {"messages": [user("\U0001f600")]})
    assert read.write([log(tmp_path, *rows)], output) == 1
    assert [query.text for query in read_queries(output)] == ["\U0001f600"]
    assert read.left_out == {"with half of a surrogate pair": 2}


def test_a_request_is_found_however_it_is_wrapped(tmp_path: Path) -> None:
    bodies = [{"model": "m", "messages": [SYSTEM, user(text)]} for text in "abcd"]
    rows = [
        bodies[0],
        {"request": bodies[1], "response": {"choices": [{"message": assistant("x")}]}},
        {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": bodies[2]},
        {"request": {"headers": {}, "body": bodies[3]}},
    ]
    assert list(RequestLogs().read([log(tmp_path, *rows)])) == [{"query": text} for text in "abcd"]


def test_a_conversation_is_kept_up_to_its_last_question_and_its_requests_stay_together(tmp_path: Path) -> None:
    first = [SYSTEM, user("a"), assistant("b"), user("c"), assistant("not used")]
    second = [SYSTEM, user("a"), assistant("b"), user("c"), assistant("d"), user([{"type": "text", "text": "e"}])]
    output = tmp_path / "queries.jsonl"
    assert RequestLogs().write([log(tmp_path, {"messages": first}, {"messages": second})], output) == 2
    one, two = read_queries(output)
    assert (one.text, [turn.content for turn in one.earlier]) == ("c", ["a", "b"])
    assert (two.text, [turn.content for turn in two.earlier]) == ("e", ["a", "b", "c", "d"])
    assert one.group == two.group is not None
    assert "not used" not in output.read_text()


def test_entries_without_a_query_are_counted_by_reason(tmp_path: Path) -> None:
    image = [{"type": "image_url", "image_url": {"url": "data:,"}}]
    rows = [
        {"messages": [user("good")]},
        "torn {\n",
        "[1]\n",
        {"id": 3},
        {"messages": "no"},
        {"messages": [user(image)]},
        {"messages": [user("a"), {"role": "assistant", "content": None, "tool_calls": [{}]}]},
        {"messages": [SYSTEM]},
        {"messages": [user(" ")]},
        {"messages": [user(" Good\n")]},
        "\n",
    ]
    logs = RequestLogs()
    assert logs.count([log(tmp_path, *rows)]) == 1
    assert logs.requests == 10
    assert logs.left_out == {
        requestlogs.NOT_JSON: 2,
        requestlogs.NO_MESSAGES: 2,
        requestlogs.NOT_TEXT: 1,
        requestlogs.TOOLS: 1,
        requestlogs.NO_QUERY: 2,
        requestlogs.DUPLICATE: 1,
    }


def test_only_requests_with_the_prompt_count(tmp_path: Path) -> None:
    rows = [
        {"messages": [SYSTEM, user("a")]},
        {"messages": [{"role": "developer", "content": "You sort."}, user("b")]},
        {"messages": [{**SYSTEM, "content": "You count."}, user("c")]},
        {"messages": [user("d")]},
    ]
    logs = RequestLogs("You sort.")
    assert list(logs.read([log(tmp_path, *rows)])) == [{"query": "a"}, {"query": "b"}]
    assert (logs.left_out, logs.prompts) == ({requestlogs.OTHER_PROMPT: 2}, 3)


def test_prompt_around_the_query_is_removed(tmp_path: Path) -> None:
    rows = [
        {"messages": [user(text)]}
        for text in ("Sort: {a} b\nKind:", "Sort: \nKind:", "Sort this", "Sort: a {query}\nKind:")
    ]
    logs = RequestLogs("Sort: {query}\nKind:")
    assert list(logs.read([log(tmp_path, *rows)])) == [{"query": "{a} b"}, {"query": "a {query}"}]
    assert logs.left_out == {requestlogs.OTHER_PROMPT: 2}


def test_personal_data_is_masked_before_duplicates_are_removed(tmp_path: Path) -> None:
    rows = [{"messages": [user(f"mail {name}@example.org")]} for name in ("anna", "bert")]
    rows += [{"messages": [user("call +49 30 901820"), assistant("At a@b.example?"), user("yes")]}]
    logs = RequestLogs(mask=Mask())
    one, two = logs.read([log(tmp_path, *rows)])
    assert one == {"query": "mail [mail]"}
    assert [turn["content"] for turn in two["messages"]] == ["call [phone]", "At [mail]?", "yes"]
    assert (logs.masked, logs.left_out) == ({"mail": 2, "phone": 1}, {requestlogs.DUPLICATE: 1})


def test_no_queries_and_an_existing_output_are_errors_that_write_nothing(tmp_path: Path) -> None:
    output = tmp_path / "queries.jsonl"
    with pytest.raises(TaskError, match=r"no query in 1 lines \(1 no messages\)"):
        RequestLogs().write([log(tmp_path, {})], output)
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]
    good = log(tmp_path, {"messages": [user("a")]})
    with pytest.raises(UsageError, match="no such file"):
        RequestLogs().write([good, tmp_path / "no.jsonl"], output)
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]
    output.write_text("mine\n")
    with pytest.raises(UsageError, match="exists already"):
        RequestLogs().write([log(tmp_path, {"messages": [user("a")]})], output)
    assert output.read_text() == "mine\n"
