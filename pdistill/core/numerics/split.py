"""The split into training and held-out queries, which keeps near-duplicates together."""

from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from typing import Literal

from pdistill.core.contract.queries import Query
from pdistill.core.numerics.neighbours import Neighbours

Split = Literal["train", "eval"]

HELD_OUT = 0.2


def split_of(group: str, seed: int) -> Split:
    """Return the split that a group belongs to, from a hash of seed and group, so that a new query does not move any other."""
    digest = sha256(f"{seed}\0{group}".encode("utf-8", "surrogatepass")).digest()
    return "eval" if int.from_bytes(digest[:8], "big") < HELD_OUT * 2**64 else "train"


class Groups:
    """The queries with their groups; a group is named by the id of its first query.

    Near-duplicates and the queries of a named group are in one group.

    Args:
        queries: returns the queries, always in the same order; 4 bytes per query are kept in memory, and 110 while they
            are read for the first time.
    """

    def __init__(self, queries: Callable[[], Iterable[Query]]) -> None:
        self._queries = queries
        names: dict[str, int] = {}
        neighbours = Neighbours()
        for place, query in enumerate(queries()):
            fellow = None if query.group is None else names.setdefault(query.group, place)
            neighbours.add(query.text, fellow)
        self._firsts = neighbours.firsts()

    def __iter__(self) -> Iterator[tuple[Query, str]]:
        """Yield each query with its group."""
        leading = {first for place, first in enumerate(self._firsts) if first != place}
        leaders: dict[int, str] = {}
        for place, (first, query) in enumerate(zip(self._firsts, self._queries(), strict=True)):
            if place in leading:
                leaders[place] = query.id
            yield query, query.id if first == place else leaders[first]
