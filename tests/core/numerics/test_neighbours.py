import random

import numpy as np
import pytest

from pdistill.core.numerics.neighbours import MAX_COMPARISONS, Neighbours, minhash

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def firsts(texts: list[str]) -> list[int]:
    neighbours = Neighbours()
    for text in texts:
        neighbours.add(text)
    return neighbours.firsts().tolist()


def pieces(text: str) -> set[str]:
    padded = f" {text} "
    return {padded[at : at + 4] for at in range(len(padded) - 3)}


def words(count: int, seed: int) -> list[str]:
    drawn = random.Random(seed)
    return ["".join(drawn.choices(LETTERS, k=6)) for _ in range(count)]


@pytest.mark.parametrize("shared", [5, 15, 19])
def test_sketches_estimate_the_fraction_of_common_pieces(shared: int) -> None:
    texts = []
    for seed in range(200):
        common = words(shared, seed)
        texts += [
            " ".join([*common, *words(20 - shared, 1_000 + seed)]),
            " ".join([*common, *words(20 - shared, seed + 5_000)]),
        ]
    sketches = minhash(texts)
    estimated = (sketches[::2] == sketches[1::2]).mean()
    sets = list(map(pieces, texts))
    true = np.mean([len(one & other) / len(one | other) for one, other in zip(sets[::2], sets[1::2], strict=True)])
    assert estimated == pytest.approx(true, abs=0.02)


def test_a_text_has_the_same_sketch_alone_and_among_others() -> None:
    texts = ["", "a", "the first text", "another, longer one\nwith two lines", "\ud800", "日本語の文"]
    together = minhash(texts)
    for text, sketch in zip(texts, together, strict=True):
        assert np.array_equal(minhash([text])[0], sketch)


def test_nothing_has_no_neighbours() -> None:
    assert firsts([]) == []


def test_texts_that_differ_in_little_belong_to_the_first_of_them_in_blocks_far_apart() -> None:
    texts = [" ".join(words(12, seed)) for seed in range(1_500)]
    texts[1_400] = texts[3].upper() + "!"
    texts[1_499] = f"  {texts[3]}"
    found = firsts(texts)
    assert (found[1_400], found[1_499]) == (3, 3)
    assert sum(first != place for place, first in enumerate(found)) == 2


def test_equal_texts_are_found_among_many_that_share_a_band_and_are_not_alike() -> None:
    shared = " ".join(words(30, 0))
    texts = [f"{shared} {' '.join(words(16, seed))}" for seed in range(1, 8 * MAX_COMPARISONS)]
    found = firsts([*texts, texts[0]])
    assert found[-1] == 0
    assert max(np.bincount(found)) < len(texts) / 4
