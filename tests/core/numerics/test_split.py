import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import pytest

from pdistill.core.contract.queries import Query
from pdistill.core.numerics.neighbours import Distinct
from pdistill.core.numerics.split import Groups


def groups(queries: Callable[[], Iterable[Query]]) -> list[str]:
    return [placed.group for placed in Groups(queries)]


def query(text: str, number: int, group: str | None = None) -> Query:
    return Query(text, id=f"q{number}", number=number, group=group)


OLD = ["1", "8", "14", "29"]
LINES = [
    "the committee met on Thursday to discuss the new budget for the library",
    "a completely different sentence about the weather in the mountains",
    "The committee met on  Thursday to discuss the new budget for the library!",
    "ships passed the harbour all night long",
]


def test_near_duplicates_share_a_group() -> None:
    assert groups(lambda: (query(line, number) for number, line in enumerate(LINES))) == ["q0", "q1", "q0", "q3"]


def test_named_groups_and_near_duplicates_join_up() -> None:
    named = [query(LINES[0], 0, "a"), query(LINES[1], 1, "b"), query(LINES[2], 2, "b"), query(LINES[3], 3, "a")]
    assert groups(lambda: named) == ["q0", "q0", "q0", "q0"]


def test_empty_and_odd_texts_have_groups() -> None:
    assert len(groups(lambda: [query("", 0), query(" ", 1), query("\ud800", 2)])) == 3


def test_texts_are_kept_apart_by_the_same_measure() -> None:
    distinct = Distinct()
    assert [distinct.add(line) for line in LINES] == [True, True, False, True]
    assert [distinct.add(line) for line in ("", " ", "\ud800", LINES[1])] == [True, False, True, False]


def many(count: int, seed: int = 0) -> list[Query]:
    """Return queries that are not alike, with labels of which one is rare."""
    chance = random.Random(seed)
    texts = ("".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=40)) for _ in range(count))
    labels = chance.choices("xyz", [8, 3, 1], k=count)
    return [Query(text, str(at), label, number=at) for at, (text, label) in enumerate(zip(texts, labels, strict=True))]


def label_of(query: Query) -> str:
    return str(query.reference)


def held_out(queries: Sequence[Query], seed: int = 0, share: float | None = 0.2) -> list[Query]:
    return [placed.query for placed in Groups(lambda: queries, seed, share, label_of) if placed.split == "eval"]


@pytest.mark.parametrize("count", [5, 6, 10, 13, 50, 100, 219, 1000])
def test_exactly_a_fifth_is_held_out_of_any_number(count: int) -> None:
    queries = many(count)
    for seed in range(5):
        assert len(held_out(queries, seed)) == round(count / 5)
    assert held_out(queries) == held_out(queries)


@pytest.mark.parametrize(
    ("count", "share", "expected"), [(1, 0.2, 0), (2, 0.2, 1), (3, 0.9, 2), (40, 0.5, 20), (40, 7, 7)]
)
def test_one_query_at_least_is_on_each_side(count: int, share: float, expected: int) -> None:
    assert len(held_out(many(count), share=share)) == expected


def test_each_label_is_held_out_in_proportion() -> None:
    queries = many(1000)
    sizes, drawn = (Counter(map(label_of, some)) for some in (queries, held_out(queries)))
    assert all(abs(drawn[label] - sizes[label] / 5) < 1 for label in "xyz")


def test_rare_labels_are_held_out_as_often_as_others() -> None:
    texts = many(250)
    labels = [label for label in range(100) for _ in range(1 + label % 4)]
    queries = [Query(query.text, query.id, str(label)) for query, label in zip(texts, labels, strict=True)]
    sizes, drawn = Counter(map(label_of, queries)), Counter[int]()
    for seed in range(100):
        drawn.update(sizes[label_of(query)] for query in held_out(queries, seed))
    for size, count in drawn.items():
        assert count / (100 * 25 * size) == pytest.approx(0.2, abs=0.03)


def test_added_queries_move_few_others_wherever_they_stand() -> None:
    queries = many(1100)
    before = {query.text for query in held_out(queries[:1000])}
    after = {
        query.text for query in held_out([query.at(at) for at, query in enumerate(queries[1000:] + queries[:1000])])
    }
    assert len(before - after) <= 10
    assert held_out(queries, seed=1) != held_out(queries)


def test_groups_are_held_out_whole_and_a_large_one_not_at_all() -> None:
    queries = [query(line.text, at, f"g{at // 3}" if at < 60 else "large") for at, line in enumerate(many(100))]
    drawn = Counter(each.group for each in held_out(queries))
    assert sum(drawn.values()) == 20 - 20 % 3
    assert set(drawn.values()) == {3}


def test_a_query_stays_on_the_side_that_was_decided() -> None:
    queries = many(100)
    decided = [Query(each.text, each.id, each.reference, held_out=at < 15) for at, each in enumerate(queries[:60])]
    sides = {placed.query.id: placed.split for placed in Groups(lambda: [*decided, *queries[60:]], 0, 0.2, label_of)}
    assert [name for name in sides if int(name) < 60 and sides[name] == "eval"] == [str(at) for at in range(15)]
    assert list(sides.values()).count("eval") == 20


def test_what_is_near_a_query_that_the_user_holds_out_is_neither_trained_on_nor_held_out() -> None:
    own = [Query(LINES[0], "own", held_out=True), Query(LINES[1], "other", held_out=False)]
    near = Query(LINES[2], "near", held_out=False)
    placed = list(Groups(lambda: [*own, near]))
    assert [(each.split, each.near_held_out) for each in placed] == [("eval", False), ("train", False), ("train", True)]


def test_runs_up_to_version_0_1_keep_their_split() -> None:
    queries = many(5_000)
    sides = {query.id for query in held_out(queries, share=None)}
    assert 0.18 < len(sides) / len(queries) < 0.22
    assert [name for name in map(str, range(30)) if name in sides] == OLD
