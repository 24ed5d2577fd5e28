"""Which queries train the student and which are held out, so that no near-duplicate straddles the split."""

from array import array
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from typing import Any, Literal

import numpy as np

from pdistill.core.queries import Query

Part = Literal["train", "eval"]

HELD_OUT = 0.2
SIMILAR = 0.7
SHINGLE = 4
PERMUTATIONS = 64
BANDS = 8
MIXER = 0x9E3779B97F4A7C15
"""2**64 divided by the golden ratio, odd: multiplicative hashing after Knuth 1998, section 6.4."""


def part_of(group: str, seed: int) -> Part:
    """Return the part of a group: a hash of seed and group, so that one query more moves no other."""
    digest = sha256(f"{seed}\0{group}".encode("utf-8", "surrogatepass")).digest()
    return "eval" if int.from_bytes(digest[:8], "big") < HELD_OUT * 2**64 else "train"


def groups(queries: Callable[[], Iterable[Query]]) -> Iterator[str]:
    """Yield the group of each query: the id of its first near-duplicate or fellow in a named group, or its own.

    Near-duplicates are texts whose sets of 4-character shingles have an estimated Jaccard similarity of at least 0.7
    (MinHash with 64 permutations and locality-sensitive hashing in 8 bands: Broder 1997, Leskovec et al. 2014,
    chapter 3). 264 bytes a query are held.
    """
    parents = array("q")
    names: dict[str, int] = {}
    sketches = array("I")
    sketch = _Sketch()
    for place, query in enumerate(queries()):
        parents.append(place)
        sketches.extend(sketch(query.text))
        if query.group is not None:
            _join(parents, place, names.setdefault(query.group, place))
    for place, fellow in _similar(np.frombuffer(sketches, np.uint32).reshape(-1, PERMUTATIONS)):
        _join(parents, place, fellow)
    leaders: dict[int, str] = {}
    followed = {root for place in range(len(parents)) if (root := _root(parents, place)) != place}
    for place, query in enumerate(queries()):
        if place in followed:
            leaders[place] = query.id
        root = _root(parents, place)
        yield query.id if root == place else leaders[root]


class Distinct:
    """Texts of which none is a near-duplicate of another, by the measure that `groups` has."""

    def __init__(self) -> None:
        self._sketch = _Sketch()
        self._sketches: list[np.ndarray[Any, Any]] = []
        self._places: dict[tuple[int, bytes], list[int]] = {}

    def add(self, text: str) -> bool:
        """Return whether the text is unlike all those before; it is one of them then."""
        sketch = self._sketch(text)
        keys = [(at, band.tobytes()) for at, band in enumerate(np.split(sketch, BANDS))]
        suspects = {place for key in keys for place in self._places.get(key, ())}
        if any((self._sketches[place] == sketch).mean() >= SIMILAR for place in suspects):
            return False
        for key in keys:
            self._places.setdefault(key, []).append(len(self._sketches))
        self._sketches.append(sketch)
        return True


class _Sketch:
    """Makes the MinHash of texts."""

    def __init__(self) -> None:
        from datasketch import MinHash

        self._empty = MinHash(num_perm=PERMUTATIONS, hashfunc=int)

    def __call__(self, text: str) -> "np.ndarray[Any, Any]":
        minhash = self._empty.copy()
        minhash.update_batch(_shingles(text))
        return np.asarray(minhash.hashvalues, np.uint32)


def _shingles(text: str) -> list[int]:
    """Return a hash of 32 bits for each run of four characters, without regard to case and width of white space."""
    padded = f" {' '.join(text.casefold().split())} ".ljust(SHINGLE)
    characters = np.frombuffer(padded.encode("utf-32-le", "surrogatepass"), np.uint32)
    hashes = np.zeros(len(characters) - SHINGLE + 1, np.uint32)
    for place in range(SHINGLE):
        hashes = (hashes ^ characters[place : len(hashes) + place]) * np.uint32(MIXER >> 32)
        hashes ^= hashes >> np.uint32(15)
    return list(map(int, np.unique(hashes)))


def _similar(sketches: "np.ndarray[Any, Any]") -> Iterator[tuple[int, int]]:
    """Yield pairs of places whose sketches are alike: every pair that shares a band, equal ones by their first."""
    kept, first, inverse = np.unique(sketches, axis=0, return_index=True, return_inverse=True)
    places = first[inverse.ravel()]
    for place in np.flatnonzero(places != np.arange(len(sketches))).tolist():
        yield place, int(places[place])
    for band in np.split(kept, BANDS, axis=1):
        keys = np.zeros(len(kept), np.uint64)
        for column in band.T:
            keys = (keys ^ column) * np.uint64(MIXER)
            keys ^= keys >> np.uint64(29)
        order = np.argsort(keys, kind="stable")
        starts = np.flatnonzero(np.diff(keys[order], prepend=keys[order[:1]] + np.uint64(1)))
        sizes = np.diff(starts, append=len(order))
        for start, size in zip(starts[sizes > 1].tolist(), sizes[sizes > 1].tolist(), strict=True):
            run = order[start : start + size]
            for at in range(size - 1):
                alike = (kept[run[at + 1 :]] == kept[run[at]]).mean(axis=1) >= SIMILAR
                for fellow in run[at + 1 :][alike].tolist():
                    yield int(first[run[at]]), int(first[fellow])


def _root(parents: "array[int]", place: int) -> int:
    while parents[place] != place:
        parents[place] = parents[parents[place]]
        place = parents[place]
    return place


def _join(parents: "array[int]", a: int, b: int) -> None:
    a, b = _root(parents, a), _root(parents, b)
    parents[max(a, b)] = min(a, b)
