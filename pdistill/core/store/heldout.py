"""The held-out queries of a run: located once, then read one by one."""

from array import array
from collections.abc import Container, Iterator

from pdistill.core.contract.queries import Query
from pdistill.core.files import storage_error
from pdistill.core.store.example import Example
from pdistill.core.store.rows import decode, read_at, record, side_by_side
from pdistill.core.store.rundir import RunDirectory


class HeldOut:
    """The held-out queries with their examples, in order; holds 24 bytes per query in memory.

    Raises:
        RunError: a file is missing, was changed, or cannot be read.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._queries, self._examples = run.check(run.queries), run.check(run.examples)
        paths = self._queries, self._examples
        self.numbers = array("q")
        """The numbers of the queries."""
        self._offsets = array("q"), array("q")
        at = [0, 0]
        try:
            with self._queries.open("rb") as queries, self._examples.open("rb") as examples:
                for number, lines in enumerate(side_by_side(queries, examples, paths)):
                    row = decode(lines[1], self._examples, number + 1)
                    if record(Example, row, self._examples, number + 1).split == "eval":
                        self.numbers.append(number)
                        for offsets, offset in zip(self._offsets, at, strict=True):
                            offsets.append(offset)
                    at[0] += len(lines[0])
                    at[1] += len(lines[1])
        except OSError as error:
            raise storage_error(error, self._examples) from None

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[tuple[Query, Example]]:
        """Yield each query with its example."""
        return self.at(None)

    def at(self, places: Container[int] | None) -> Iterator[tuple[Query, Example]]:
        """Yield the held-out queries at these positions, counted from 0, with their examples; None is all."""
        with self._queries.open("rb") as queries, self._examples.open("rb") as examples:
            for at, (number, *offsets) in enumerate(zip(self.numbers, *self._offsets, strict=True)):
                if places is not None and at not in places:
                    continue
                query = read_at(queries, offsets[0], self._queries)
                example = read_at(examples, offsets[1], self._examples)
                yield (
                    record(Query, query, self._queries, number + 1),
                    record(Example, example, self._examples, number + 1),
                )
