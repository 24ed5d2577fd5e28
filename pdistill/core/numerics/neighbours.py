"""Which texts are near-duplicates of others: MinHash and locality-sensitive hashing, for many texts at once.

Near-duplicates are texts whose sets of 4-character pieces have an estimated Jaccard similarity of at least 0.7 (MinHash
with 64 permutations, 8 bits of each, and 8 bands: Broder 1997; Li and König 2010; Leskovec et al. 2014, chapter 3).
"""

from array import array
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

Numbers = np.ndarray[Any, Any]

SIMILAR = 0.7
PIECE = 4
PERMUTATIONS = 64
BANDS = 8
MIXER = 0x9E3779B97F4A7C15
"""2**64 divided by the golden ratio, odd: multiplicative hashing after Knuth 1998, section 6.4."""
BLOCK = 512
PAIRS = 1 << 15
"""Texts that are sketched at once; pairs of sketches that are compared at once."""
FURTHEST = 100
"""Texts of one band that a text is compared with at the most, so that the work grows no faster than the texts."""


class Neighbours:
    """Collects texts, then finds which belong together; 68 bytes a text are held, and about 30 more while it searches."""

    def __init__(self) -> None:
        self._parents = array("i")
        self._sketches = bytearray()
        self._waiting: list[str] = []

    def add(self, text: str, fellow: int | None = None) -> None:
        """Take one more text.

        Args:
            fellow: the place of an earlier text that it belongs to in any case, or its own.
        """
        place = len(self._parents)
        self._parents.append(place)
        if fellow is not None:
            self._join(place, fellow)
        self._waiting.append(text)
        if len(self._waiting) == BLOCK:
            self._sketch()

    def firsts(self) -> "array[int]":
        """Return for each text the place of the first that it belongs with: its own where there is none before it."""
        self._sketch()
        sketches = np.frombuffer(self._sketches, np.uint8).reshape(-1, PERMUTATIONS)
        bands = sketches.view(np.uint64)
        kept = self._join_equal(bands)
        for band in bands.T:
            self._join_alike(sketches, kept, band[kept])
        return array("i", (self._root(place) for place in range(len(self._parents))))

    def _sketch(self) -> None:
        if self._waiting:
            self._sketches += sketched(self._waiting).tobytes()
            self._waiting.clear()

    def _join_equal(self, bands: Numbers) -> Numbers:
        """Join the texts with equal sketches; return the places of the first of each kind."""
        keys = np.zeros(len(bands), np.uint64)
        for band in bands.T:
            keys = (keys ^ band) * np.uint64(MIXER)
            keys ^= keys >> np.uint64(29)
        order = np.argsort(keys, kind="stable").astype(np.int32)
        keys = keys[order]
        again = np.zeros(len(keys), bool)
        again[1:] = keys[1:] == keys[:-1]
        for at in np.flatnonzero(again).tolist():
            self._join(int(order[at]), int(order[at - 1]))
        return np.sort(order[~again])

    def _join_alike(self, sketches: Numbers, places: Numbers, keys: Numbers) -> None:
        """Join the texts of one key whose sketches are alike; each is compared with the next ones of its key."""
        order = np.argsort(keys, kind="stable")
        keys, places = keys[order], places[order]
        del order
        at = np.flatnonzero(keys[:-1] == keys[1:])
        for distance in range(1, FURTHEST + 1):
            at = at[at < len(keys) - distance]
            at = at[keys[at] == keys[at + distance]]
            for start in range(0, len(at), PAIRS):
                some = at[start : start + PAIRS]
                one, other = places[some], places[some + distance]
                apart = self._roots(one) != self._roots(other)
                one, other = one[apart], other[apart]
                alike = (sketches[one] == sketches[other]).mean(axis=1) >= SIMILAR
                for a, b in zip(one[alike].tolist(), other[alike].tolist(), strict=True):
                    self._join(a, b)

    def _roots(self, places: Numbers) -> Numbers:
        parents = np.frombuffer(self._parents, np.int32)
        roots = parents[places]
        while not np.array_equal(roots, above := parents[roots]):
            roots = above
        return roots

    def _root(self, place: int) -> int:
        parents = self._parents
        while parents[place] != place:
            parents[place] = parents[parents[place]]
            place = parents[place]
        return place

    def _join(self, a: int, b: int) -> None:
        a, b = self._root(a), self._root(b)
        self._parents[max(a, b)] = min(a, b)


class Distinct:
    """Texts of which none is a near-duplicate of another, by the same measure, one after the other."""

    def __init__(self) -> None:
        self._sketches: list[Numbers] = []
        self._places: dict[tuple[int, bytes], list[int]] = {}

    def add(self, text: str) -> bool:
        """Return whether the text is unlike all those before; it is one of them then."""
        sketch = sketched([text])[0]
        keys = [(at, band.tobytes()) for at, band in enumerate(np.split(sketch, BANDS))]
        suspects = {place for key in keys for place in self._places.get(key, ())}
        if any((self._sketches[place] == sketch).mean() >= SIMILAR for place in suspects):
            return False
        for key in keys:
            self._places.setdefault(key, []).append(len(self._sketches))
        self._sketches.append(sketch)
        return True


def sketched(texts: Sequence[str]) -> Numbers:
    """Return the low 8 bits of the MinHash of each text, (texts, permutations).

    Case and the width of white space make no difference. Each permutation is h -> factor * h + term in 32 bits.
    """
    padded = [f" {' '.join(text.casefold().split())} ".ljust(PIECE) for text in texts]
    ends = np.cumsum([len(text) for text in padded])
    starts = ends - [len(text) for text in padded]
    hashes = _pieces("".join(padded))
    for behind in range(1, PIECE):  # pieces that would reach into the next text: its first one instead
        hashes[ends[:-1] - behind] = hashes[starts[:-1]]
    minima = np.empty((PERMUTATIONS, len(texts)), np.uint32)
    permuted = np.empty_like(hashes)
    for row, factor, term in zip(minima, *_permutations(), strict=True):
        np.multiply(hashes, factor, out=permuted)
        permuted += term
        np.minimum.reduceat(permuted, starts, out=row)
    return minima.T.astype(np.uint8)


@cache
def _permutations() -> tuple[Numbers, Numbers]:
    """Return odd factors and terms; by the generator whose numbers no version of numpy changes: the split depends on them."""
    drawn = np.random.RandomState(1)
    factors = drawn.randint(0, 1 << 31, PERMUTATIONS, np.uint32) * np.uint32(2) + np.uint32(1)
    return factors, drawn.randint(0, 1 << 32, PERMUTATIONS, np.uint32)


def _pieces(text: str) -> Numbers:
    """Return a hash of 32 bits for each run of four characters."""
    characters = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    hashes = np.zeros(len(characters) - PIECE + 1, np.uint32)
    for place in range(PIECE):
        hashes = (hashes ^ characters[place : len(hashes) + place]) * np.uint32(MIXER >> 32)
        hashes ^= hashes >> np.uint32(15)
    return hashes
