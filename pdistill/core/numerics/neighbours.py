"""Near-duplicate detection by MinHash and locality-sensitive hashing, for many texts at once.

Near-duplicates are texts whose sets of 4-character shingles have an estimated Jaccard similarity of at least 0.7 (MinHash
with 64 permutations, 8 bits of each, and 8 bands: Broder 1997; Li and König 2010; Leskovec et al. 2014, chapter 3).
"""

from array import array
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

Numbers = np.ndarray[Any, Any]

MIN_SIMILARITY = 0.7
SHINGLE = 4
"""Characters of a shingle."""
PERMUTATIONS = 64
BANDS = 8
MIXER = 0x9E3779B97F4A7C15
"""2**64 divided by the golden ratio, odd: multiplicative hashing after Knuth 1998, section 6.4."""
TEXTS_AT_ONCE = 512
PAIRS_AT_ONCE = 1 << 15
"""Texts that are hashed at once; pairs of sketches that are compared at once."""
MAX_COMPARISONS = 100
"""Texts of one band that a text is compared with at most, so that the work grows linearly with the number of texts."""


class Neighbours:
    """Collects texts, then groups near-duplicates; needs 68 bytes per text, and about 30 more during the search."""

    def __init__(self) -> None:
        self._parents = array("i")
        self._sketches = bytearray()
        self._waiting: list[str] = []

    def add(self, text: str, fellow: int | None = None) -> None:
        """Add a text.

        Args:
            fellow: the position of an earlier text that it is grouped with in any case, or its own.
        """
        place = len(self._parents)
        self._parents.append(place)
        if fellow is not None:
            self._join(place, fellow)
        self._waiting.append(text)
        if len(self._waiting) == TEXTS_AT_ONCE:
            self._sketch()

    def firsts(self) -> "array[int]":
        """Return for each text the position of the first text in its group: its own where there is none before it."""
        self._sketch()
        sketches = np.frombuffer(self._sketches, np.uint8).reshape(-1, PERMUTATIONS)
        bands = sketches.view(np.uint64)
        kept = self._join_equal(bands)
        for band in bands.T:
            self._join_similar(sketches, kept, band[kept])
        return array("i", (self._root(place) for place in range(len(self._parents))))

    def _sketch(self) -> None:
        if self._waiting:
            self._sketches += minhash(self._waiting).tobytes()
            self._waiting.clear()

    def _join_equal(self, bands: Numbers) -> Numbers:
        """Group the texts with equal sketches; return the positions of the first text with each sketch."""
        keys = np.zeros(len(bands), np.uint64)
        for band in bands.T:
            keys = (keys ^ band) * np.uint64(MIXER)
            keys ^= keys >> np.uint64(29)
        order = np.argsort(keys, kind="stable").astype(np.int32)
        keys = keys[order]
        duplicate = np.zeros(len(keys), bool)
        duplicate[1:] = keys[1:] == keys[:-1]
        for at in np.flatnonzero(duplicate).tolist():
            self._join(int(order[at]), int(order[at - 1]))
        return np.sort(order[~duplicate])

    def _join_similar(self, sketches: Numbers, places: Numbers, keys: Numbers) -> None:
        """Group the texts with the same key and similar sketches; each is compared with the next texts of its key."""
        order = np.argsort(keys, kind="stable")
        keys, places = keys[order], places[order]
        del order
        at = np.flatnonzero(keys[:-1] == keys[1:])
        for distance in range(1, MAX_COMPARISONS + 1):
            at = at[at < len(keys) - distance]
            at = at[keys[at] == keys[at + distance]]
            for start in range(0, len(at), PAIRS_AT_ONCE):
                some = at[start : start + PAIRS_AT_ONCE]
                one, other = places[some], places[some + distance]
                apart = self._roots(one) != self._roots(other)
                one, other = one[apart], other[apart]
                similar = (sketches[one] == sketches[other]).mean(axis=1) >= MIN_SIMILARITY
                for a, b in zip(one[similar].tolist(), other[similar].tolist(), strict=True):
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
    """A set of texts without near-duplicates, by the same measure, to which texts are added one by one."""

    def __init__(self) -> None:
        self._sketches: list[Numbers] = []
        self._places: dict[tuple[int, bytes], list[int]] = {}

    def add(self, text: str) -> bool:
        """Return whether the text is not a near-duplicate of one in the set; if so, it is added."""
        sketch = minhash([text])[0]
        keys = [(at, band.tobytes()) for at, band in enumerate(np.split(sketch, BANDS))]
        suspects = {place for key in keys for place in self._places.get(key, ())}
        if any((self._sketches[place] == sketch).mean() >= MIN_SIMILARITY for place in suspects):
            return False
        for key in keys:
            self._places.setdefault(key, []).append(len(self._sketches))
        self._sketches.append(sketch)
        return True


def minhash(texts: Sequence[str]) -> Numbers:
    """Return the low 8 bits of the MinHash of each text, (texts, permutations).

    Case and the amount of whitespace are ignored. Each permutation is h -> factor * h + term in 32 bits.
    """
    padded = [f" {' '.join(text.casefold().split())} ".ljust(SHINGLE) for text in texts]
    ends = np.cumsum([len(text) for text in padded])
    starts = ends - [len(text) for text in padded]
    hashes = _shingle_hashes("".join(padded))
    for behind in range(1, SHINGLE):  # shingles that would reach into the next text: its own first one instead
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
    """Return odd factors and terms, from a generator that is stable across numpy versions: the split depends on them."""
    generator = np.random.RandomState(1)
    factors = generator.randint(0, 1 << 31, PERMUTATIONS, np.uint32) * np.uint32(2) + np.uint32(1)
    return factors, generator.randint(0, 1 << 32, PERMUTATIONS, np.uint32)


def _shingle_hashes(text: str) -> Numbers:
    """Return a 32-bit hash of each run of four characters."""
    characters = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    hashes = np.zeros(len(characters) - SHINGLE + 1, np.uint32)
    for offset in range(SHINGLE):
        hashes = (hashes ^ characters[offset : len(hashes) + offset]) * np.uint32(MIXER >> 32)
        hashes ^= hashes >> np.uint32(15)
    return hashes
