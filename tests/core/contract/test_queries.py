from dataclasses import replace

import pytest

from pdistill.core.contract.prompts import Message
from pdistill.core.contract.queries import Query, numbered
from pdistill.core.errors import UsageError


def test_queries_get_their_numbers_and_ids() -> None:
    queries = list(numbered(lambda: [Query("a"), Query("b", "name"), Query("c")], limit=2))
    assert [(query.number, query.id) for query in queries] == [(0, "0"), (1, "name")]
    assert [Query.from_row(query.as_row()) for query in queries] == queries


def test_equal_ids_are_an_error() -> None:
    with pytest.raises(UsageError, match="queries number 0 and 2 have the same id, 'x'"):
        list(numbered(lambda: [Query("a", "x"), Query("b"), Query("c", "x")]))


def test_a_query_keeps_everything_at_its_place() -> None:
    query = Query("what?", "a", "that", ("short",), "g", 0, (Message("user", "hm"),), "first")
    assert query.at(7) == replace(query, number=7)
    assert Query("what?").at(7) == Query("what?", id="7", number=7)
