"""Which queries train the student and which are held out, so that no near-duplicate straddles the split."""

from collections.abc import Iterable
from hashlib import sha256
from typing import Literal
from zlib import crc32

from pdistill.core.queries import Query

Part = Literal["train", "eval"]

HELD_OUT = 0.2
SIMILAR = 0.7
SHINGLE = 4
PERMUTATIONS = 64


def part_of(group: str, seed: int) -> Part:
    """Return the part of a group: a hash of seed and group, so that one query more moves no other."""
    digest = sha256(f"{seed}\0{group}".encode()).digest()
    return "eval" if int.from_bytes(digest[:8], "big") < HELD_OUT * 2**64 else "train"


def groups(queries: Iterable[Query]) -> list[str]:
    """Return the group of each query: the id of its first near-duplicate or fellow in a named group, or its own.

    Near-duplicates are texts whose sets of 4-character shingles have an estimated Jaccard similarity of at least 0.7
    (MinHash with 64 permutations and locality-sensitive hashing: Broder 1997, Leskovec et al. 2014, chapter 3).
    """
    from datasketch import MinHash, MinHashLSH

    empty = MinHash(num_perm=PERMUTATIONS, hashfunc=crc32)
    index = MinHashLSH(threshold=SIMILAR, num_perm=PERMUTATIONS)
    parents: list[int] = []
    names: dict[str, int] = {}
    ids: list[str] = []
    hashes: list[MinHash] = []
    for place, query in enumerate(queries):
        parents.append(place)
        ids.append(query.id)
        sketch = empty.copy()
        sketch.update_batch(list(_shingles(query.text)))
        hashes.append(sketch)
        fellows = [found for found in index.query(sketch) if sketch.jaccard(hashes[found]) >= SIMILAR]
        if query.group is not None:
            fellows.append(names.setdefault(query.group, place))
        for fellow in fellows:
            _join(parents, place, fellow)
        index.insert(place, sketch)
    return [ids[_root(parents, place)] for place in range(len(parents))]


def _shingles(text: str) -> set[bytes]:
    folded = " ".join(text.casefold().split())
    padded = f" {folded} "
    return {
        padded[at : at + SHINGLE].encode("utf-8", "surrogatepass") for at in range(max(1, len(padded) - SHINGLE + 1))
    }


def _root(parents: list[int], place: int) -> int:
    while parents[place] != place:
        parents[place] = parents[parents[place]]
        place = parents[place]
    return place


def _join(parents: list[int], a: int, b: int) -> None:
    a, b = _root(parents, a), _root(parents, b)
    parents[max(a, b)] = min(a, b)
