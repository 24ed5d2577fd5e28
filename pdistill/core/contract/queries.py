"""The queries of a task."""

from array import array
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from types import NoneType

from pdistill.core.contract.jsontext import Keys, Row, check_keys
from pdistill.core.contract.likeness import composed
from pdistill.core.contract.prompts import Message
from pdistill.core.errors import UsageError

TAG = ": "
"""The separator between a prompt's name and the query, where a student learns several prompts."""

TEXT_OR_NONE = (str, NoneType)
KEYS: Keys = {
    "number": int,
    "id": str,
    "query": str,
    "reference": TEXT_OR_NONE,
    "slices": list,
    "group": TEXT_OR_NONE,
    "prompt": TEXT_OR_NONE,
    "earlier": (list, NoneType),
    "held_out": (bool, NoneType),
}
"""What a row of queries.jsonl has."""


@dataclass(frozen=True, slots=True)
class Query:
    """One query.

    Args:
        text: what the user asks.
        id: a unique name; empty: the number.
        reference: the correct answer, where it is known; only evaluation uses it, normalised as answers are: without
            surrounding whitespace, in Unicode's composed form, and None where nothing is left.
        slices: names of the breakdowns that the query belongs to.
        group: queries of one group never straddle the split.
        number: the position in the task, from 0; the core sets it.
        earlier: the turns of the conversation before `text`, in chat.
        prompt: the name of the prompt that the teacher gets, where a run has several.
        held_out: whether the query belongs to the held-out ones; None: the split decides.
    """

    text: str
    id: str = ""
    reference: str | None = None
    slices: tuple[str, ...] = ()
    group: str | None = None
    number: int = 0
    earlier: tuple[Message, ...] = ()
    prompt: str = ""
    held_out: bool | None = None

    @property
    def tagged(self) -> str:
        """The text as the student gets it: after its prompt's name, where there are several prompts."""
        return f"{self.prompt}{TAG}{self.text}" if self.prompt else self.text

    @property
    def turns(self) -> tuple[Message, ...]:
        """The conversation as the student's users have it: the earlier turns, and the text as the last one."""
        return (*self.earlier, Message("user", self.tagged))

    def at(self, number: int) -> "Query":
        """Return the query with its position in the task, which is also its id where it has none."""
        name = self.id or str(number)
        reference = _normalised(self.reference)
        return Query(
            self.text, name, reference, self.slices, self.group, number, self.earlier, self.prompt, self.held_out
        )

    @classmethod
    def from_row(cls, row: Row) -> "Query":
        """Return the query in a row of queries.jsonl.

        Raises:
            TypeError: it does not hold one.
        """
        check_keys(row, KEYS)
        earlier = tuple(Message(turn["role"], turn["content"]) for turn in row.get("earlier", ()))
        return cls(
            text=row["query"],
            id=row["id"],
            reference=_normalised(row["reference"]),
            slices=tuple(row["slices"]),
            group=row["group"],
            number=row["number"],
            earlier=earlier,
            prompt=row.get("prompt", ""),
            held_out=row.get("held_out"),
        )

    def as_row(self) -> dict[str, object]:
        """Return the query as a row of queries.jsonl."""
        row: dict[str, object] = {
            "number": self.number,
            "id": self.id,
            "query": self.text,
            "reference": self.reference,
            "slices": list(self.slices),
            "group": self.group,
        }
        if self.earlier:
            row["earlier"] = [turn.as_row() for turn in self.earlier]
        if self.prompt:
            row["prompt"] = self.prompt
        if self.held_out is not None:
            row["held_out"] = self.held_out
        return row


def _normalised(reference: str | None) -> str | None:
    return None if reference is None else composed(reference.strip()) or None


def untagged(query: Query, prompts: Collection[str]) -> Query:
    """Return a query that was typed as the student gets it, with the name of its prompt split from its text.

    Args:
        prompts: the names of the prompts; where there are none, the query is returned unchanged.

    Raises:
        UsageError: the text does not begin with one of the names.
    """
    name, tag, text = query.text.partition(TAG)
    if not prompts:
        return query
    if not tag or name not in prompts:
        raise UsageError(
            f"{query.text[:40]!r} does not name the prompt that it is for; begin it with "
            f"{' or '.join(repr(f'{known}{TAG}') for known in sorted(prompts))}"
        )
    return replace(query, text=text, prompt=name)


def numbered(queries: Callable[[], Iterable[Query]], limit: int | None = None) -> Iterator[Query]:
    """Yield the first `limit` queries with their numbers, and the number as id where there is none.

    Args:
        queries: returns the queries, always in the same order. A hash of each id is kept in memory, 8 bytes per query.

    Raises:
        UsageError: two queries have the same id; raised after the last query.
    """
    import numpy as np

    hashes = array("q")
    for number, query in enumerate(islice(queries(), limit)):
        query = query.at(number)
        hashes.append(hash(query.id))
        yield query
    ordered = np.sort(hashes)
    duplicates = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(duplicates):
        _refuse_duplicates(queries, set(duplicates.tolist()))


def _refuse_duplicates(queries: Callable[[], Iterable[Query]], suspects: set[int]) -> None:
    seen: dict[str, int] = {}
    for number, query in enumerate(queries()):
        name = query.at(number).id
        if hash(name) not in suspects:
            continue
        if name in seen:
            raise UsageError(
                f"queries number {seen[name]} and {number} have the same id, {name!r}; give each its own id, or none"
            )
        seen[name] = number
