"""The queries: what a task asks."""

from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from pdistill.core.contract.prompts import Message
from pdistill.core.errors import UsageError

TAG = ": "
"""What stands between a prompt's name and the query, where a student learns several prompts."""


@dataclass(frozen=True, slots=True)
class Query:
    """One query.

    Args:
        text: what the user asks.
        id: a name that no other query has; empty: the number.
        reference: the right answer, where it is known; only evaluation looks at it.
        slices: names of the breakdowns that the query belongs to.
        group: queries of one group never straddle the split.
        number: the place in the task, from 0; the core sets it.
        earlier: the turns of the conversation before `text`, in chat.
        prompt: the name of the prompt that the teacher answers under, where a run has several.
    """

    text: str
    id: str = ""
    reference: str | None = None
    slices: tuple[str, ...] = ()
    group: str | None = None
    number: int = 0
    earlier: tuple[Message, ...] = ()
    prompt: str = ""

    @property
    def tagged(self) -> str:
        """The text as it is put to the student: behind its prompt's name, where there are several."""
        return f"{self.prompt}{TAG}{self.text}" if self.prompt else self.text

    def at(self, number: int) -> "Query":
        """Return the query at its place in the task; the number is its id too, where it has none."""
        name = self.id or str(number)
        return Query(self.text, name, self.reference, self.slices, self.group, number, self.earlier, self.prompt)

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Query":
        """Return the query that a row of queries.jsonl holds."""
        earlier = tuple(Message(turn["role"], turn["content"]) for turn in row.get("earlier", ()))
        return cls(
            text=row["query"],
            id=row["id"],
            reference=row["reference"],
            slices=tuple(row["slices"]),
            group=row["group"],
            number=row["number"],
            earlier=earlier,
            prompt=row.get("prompt", ""),
        )

    def as_row(self) -> dict[str, Any]:
        """Return the query as a row of queries.jsonl."""
        row: dict[str, Any] = {
            "number": self.number,
            "id": self.id,
            "query": self.text,
            "reference": self.reference,
            "slices": list(self.slices),
            "group": self.group,
        }
        if self.earlier:
            row["earlier"] = [{"role": turn.role, "content": turn.content} for turn in self.earlier]
        if self.prompt:
            row["prompt"] = self.prompt
        return row


def untagged(query: Query, prompts: Collection[str]) -> Query:
    """Return a query that was typed as it is put to the student, with its prompt's name told apart.

    Args:
        prompts: the names of the prompts; where there are none, nothing is told apart.

    Raises:
        UsageError: the text does not begin with one of the names.
    """
    name, tag, text = query.text.partition(TAG)
    if not prompts:
        return query
    if not tag or name not in prompts:
        raise UsageError(
            f"{query.text[:40]!r} does not say which prompt it is for; begin it with "
            f"{' or '.join(repr(f'{known}{TAG}') for known in sorted(prompts))}"
        )
    return replace(query, text=text, prompt=name)


def numbered(queries: Callable[[], Iterable[Query]], limit: int | None = None) -> Iterator[Query]:
    """Yield the first `limit` queries with their numbers, and the number as id where there is none.

    Args:
        queries: makes the queries, each time in the same order. Of each id a hash is held, 8 bytes.

    Raises:
        UsageError: two queries have one id; after the last query.
    """
    import numpy as np

    hashes = array("q")
    for number, query in enumerate(islice(queries(), limit)):
        placed = query.at(number)
        hashes.append(hash(placed.id))
        yield placed
    ordered = np.sort(hashes)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(twice):
        _refuse_equal(queries, set(twice.tolist()))


def _refuse_equal(queries: Callable[[], Iterable[Query]], suspects: set[int]) -> None:
    seen: dict[str, int] = {}
    for number, query in enumerate(queries()):
        name = query.at(number).id
        if hash(name) not in suspects:
            continue
        if name in seen:
            raise UsageError(
                f"queries number {seen[name]} and {number} have one id, {name!r}; give each an id of its own, or none"
            )
        seen[name] = number
