"""The sides that the queries of an earlier run were on: trained on, or held out."""

from array import array
from bisect import bisect_left

from pdistill.core.contract.queries import Query
from pdistill.core.store.example import Example
from pdistill.core.store.rows import read_records
from pdistill.core.store.rundir import RunDirectory


class Sides:
    """The sides of the queries of an earlier run by their texts; 8 bytes per query are kept in memory.

    Args:
        run: the earlier run; one without examples has decided nothing.

    Raises:
        RunError: a file of it was changed.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._trained, self._held_out = array("q"), array("q")
        if not run.examples.exists():
            return
        queries = read_records(Query, run.check(run.queries))
        for query, example in zip(queries, read_records(Example, run.check(run.examples)), strict=True):
            (self._held_out if example.split == "eval" else self._trained).append(hash(query.text))
        self._trained, self._held_out = (array("q", sorted(side)) for side in (self._trained, self._held_out))

    def of(self, query: Query) -> bool | None:
        """Return whether the query was held out; None where the run did not have it."""
        key = hash(query.text)
        if _has(self._held_out, key):
            return True
        return False if _has(self._trained, key) else None


def _has(keys: "array[int]", key: int) -> bool:
    place = bisect_left(keys, key)
    return place < len(keys) and keys[place] == key
