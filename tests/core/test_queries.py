import pytest

from pdistill.core.errors import UsageError
from pdistill.core.queries import Query, numbered, query_from_row


def test_queries_get_their_numbers_and_ids() -> None:
    queries = list(numbered(lambda: [Query("a"), Query("b", "name"), Query("c")], limit=2))
    assert [(query.number, query.id) for query in queries] == [(0, "0"), (1, "name")]
    assert [query_from_row(query.row()) for query in queries] == queries


def test_equal_ids_are_an_error() -> None:
    with pytest.raises(UsageError, match="queries number 0 and 2 have one id, 'x'"):
        list(numbered(lambda: [Query("a", "x"), Query("b"), Query("c", "x")]))
