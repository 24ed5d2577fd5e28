from collections.abc import Callable, Iterable

from pdistill.core.contract.queries import Query
from pdistill.core.numerics.neighbours import Distinct
from pdistill.core.numerics.split import Groups, split_of


def groups(queries: Callable[[], Iterable[Query]]) -> list[str]:
    return [name for _, name in Groups(queries)]


def query(text: str, number: int, group: str | None = None) -> Query:
    return Query(text, id=f"q{number}", number=number, group=group)


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


def test_the_split_is_a_fifth_and_depends_on_seed_and_group_alone() -> None:
    sides = [split_of(f"q{number}", 0) for number in range(5_000)]
    assert 0.18 < sides.count("eval") / len(sides) < 0.22
    assert sides == [split_of(f"q{number}", 0) for number in range(5_000)]
    assert sides != [split_of(f"q{number}", 1) for number in range(5_000)]
