"""The split into training and held-out queries, which keeps near-duplicates together."""

from array import array
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from typing import Any, Literal, NamedTuple

import numpy as np

from pdistill.core.contract.queries import Query
from pdistill.core.numerics.neighbours import Neighbours

Split = Literal["train", "eval"]
Stratum = Callable[[Query], str]
"""Returns the part to which a query is assigned; of each part, about the same fraction is held out."""
Numbers = np.ndarray[Any, Any]

HELD_OUT = 0.2
"""The fraction of the queries that is held out unless another is given."""
UNDECIDED, TRAINED, KEPT_OUT = -1, 0, 1
"""The sides of a query as numbers."""


class Placed(NamedTuple):
    """A query with its place in the split.

    Args:
        group: the id of the first query of its group; near-duplicates and the queries of a named group are in one group.
        near_held_out: whether it may not be trained on because a query of its group is held out by the user's choice.
    """

    query: Query
    group: str
    split: Split
    near_held_out: bool


class Groups:
    """The queries with their groups and splits.

    The split is stratified sampling by permanent random numbers (Ohlsson 1995): each group has a number from a hash of the seed
    and its texts, and the groups with the smallest numbers are held out, so that added queries move few others to the other side.

    Args:
        queries: returns the queries, always in the same order; 6 bytes per query are kept in memory, and 150 while they
            are read for the first time.
        seed: of the split.
        held_out: the fraction of the queries to hold out, below 1, or their number; None: as runs up to version 0.1 did, each
            group with a probability of a fifth.
        stratum: returns the part of the queries that a query belongs to.
    """

    def __init__(
        self,
        queries: Callable[[], Iterable[Query]],
        seed: int = 0,
        held_out: float | None = HELD_OUT,
        stratum: Stratum = lambda query: "",
    ) -> None:
        self._queries, self._seed = queries, seed
        names: dict[str, int] = {}
        strata: dict[str, int] = {}
        neighbours, numbers, sides, parts = Neighbours(), array("Q"), array("b"), array("i")
        for place, query in enumerate(queries()):
            fellow = None if query.group is None else names.setdefault(query.group, place)
            neighbours.add(query.text, fellow)
            numbers.append(_number(seed, query.text if query.group is None else query.group))
            sides.append(UNDECIDED if query.held_out is None else int(query.held_out))
            parts.append(strata.setdefault(stratum(query), len(strata)))
        self._firsts = neighbours.firsts()
        self._sides = sides
        self._held_out: Numbers | None = None
        if held_out is not None and len(self._firsts):
            draws = np.array([_number(seed, name) for name in strata]) / 2**64
            self._held_out = _drawn(
                self._firsts, np.asarray(numbers), np.asarray(sides), np.asarray(parts), draws, held_out
            )

    def __iter__(self) -> Iterator[Placed]:
        """Yield each query with its place in the split."""
        leading = {first for place, first in enumerate(self._firsts) if first != place}
        leaders: dict[int, str] = {}
        for place, (first, query) in enumerate(zip(self._firsts, self._queries(), strict=True)):
            if place in leading:
                leaders[place] = query.id
            group = query.id if first == place else leaders[first]
            if self._held_out is None:
                yield Placed(query, group, split_of(group, self._seed), near_held_out=False)
                continue
            held_out = bool(self._held_out[place])
            near = held_out and self._sides[place] == TRAINED
            yield Placed(query, group, "eval" if held_out and not near else "train", near)


def split_of(group: str, seed: int) -> Split:
    """Return the split that a group belongs to in runs up to version 0.1, from a hash of seed and group alone."""
    return "eval" if _number(seed, group) < HELD_OUT * 2**64 else "train"


def _number(seed: int, text: str) -> int:
    """Return the permanent random number of a text, from 0 to 2**64 - 1."""
    digest = sha256(f"{seed}\0{text}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big")


def _drawn(
    firsts: "array[int]", numbers: Numbers, sides: Numbers, parts: Numbers, draws: Numbers, held_out: float
) -> Numbers:
    """Return whether each query's group is held out.

    Args:
        firsts: `(N,)`, the place of the first query of each query's group.
        numbers: `(N,)`, the permanent random number of each query.
        sides: `(N,)`, what was decided of each query before.
        parts: `(N,)`, the stratum of each query.
        draws: `(S,)`, the permanent random number of each stratum, from 0 to 1.
        held_out: the fraction of the queries, below 1, or their number.
    """
    leads = np.asarray(firsts) == np.arange(len(firsts))
    group = (np.cumsum(leads, dtype=np.int32) - 1)[np.asarray(firsts)]
    count = int(leads.sum())
    sizes = np.bincount(group, minlength=count).astype(np.int32)
    side, number = np.full(count, UNDECIDED, np.int8), np.full(count, 2**64 - 1, np.uint64)
    np.maximum.at(side, group, sides)
    np.minimum.at(number, group, numbers)
    part = parts[leads]
    taken = side == KEPT_OUT
    free = side == UNDECIDED
    wanted = _quota(len(firsts), held_out) - int(sizes[taken].sum())
    order = np.argsort(_mixed(number), kind="stable")  # the least of many random numbers is no longer uniform
    order = order[free[order]]
    quotas = _quotas(np.bincount(part[free], sizes[free], len(draws)), draws, wanted)
    for at in order:
        if sizes[at] <= quotas[part[at]]:
            taken[at] = True
            quotas[part[at]] -= sizes[at]
    left = wanted - int(sizes[taken & free].sum())
    for at in order:
        if left and not taken[at] and sizes[at] <= left:
            taken[at] = True
            left -= int(sizes[at])
    by_query: Numbers = taken[group]
    return by_query


def _mixed(numbers: Numbers) -> Numbers:
    """Return other numbers for 64-bit numbers, one to one and without a pattern: the finalizer of SplitMix64 (Steele et al. 2014)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Numbers = numbers ^ (numbers >> np.uint64(31))
    return mixed


def _quota(count: int, held_out: float) -> int:
    """Return how many of the queries are held out: at least one of two, and never all."""
    wanted = round(count * held_out) if held_out < 1 else int(held_out)
    return min(max(1, wanted), count - 1)


def _quotas(sizes: Numbers, draws: Numbers, wanted: int) -> Numbers:
    """Return how many queries of each stratum are held out, in proportion to its size; their sum is `wanted`.

    What is left after rounding down goes to strata by sequential Poisson sampling (Ohlsson 1998), with probabilities close to the
    remainders, so that a small stratum is represented as often as it should be.

    Args:
        sizes: `(S,)`, the number of queries of each stratum that may be held out.
        draws: `(S,)`, the permanent random number of each stratum, from 0 to 1.
    """
    exact = sizes * (max(0, wanted) / max(1, sizes.sum()))
    quotas: Numbers = np.floor(exact + 1e-9).astype(int)
    remainders = exact - quotas
    positive = np.flatnonzero(remainders > 1e-9)
    first = positive[np.argsort(draws[positive] / remainders[positive], kind="stable")]
    quotas[first[: max(0, wanted) - int(quotas.sum())]] += 1
    return quotas
