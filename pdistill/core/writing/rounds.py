"""The rounds in which queries are asked for: what a round asks follows from the answers of those before, and nothing else."""

from collections.abc import Iterator, Sequence
from math import ceil

from pdistill.core.answers.answer import Question
from pdistill.core.contract.prompts import Format
from pdistill.core.contract.queries import Query
from pdistill.core.contract.sampling import Key, Request, request_seed
from pdistill.core.store.rundir import RunDirectory
from pdistill.core.writing.aims import Aim
from pdistill.core.writing.kept import Written
from pdistill.core.writing.settings import Source

LEAST = 100
"""Requests that a round may have at any rate; a tenth of all in a large job."""
MOST = 50
"""Rounds."""


class Rounds:
    """Yields the questions of each round; `read` is called when they are answered, before the next is asked for.

    Numbers of a round begin at a multiple of `chunk`, so that no chunk of a backend straddles two rounds.

    Args:
        chunk: consecutive numbers that the backend answers together, or None.
    """

    def __init__(self, source: Source, limit: int, format: Format, chunk: int | None) -> None:
        self._aims = source.aims(format)
        self._requests = source.requests(format)
        self._seed = int(source.asked["seed"])
        self.written = Written(self._aims, limit, source.reader(format), source.seeds)
        self._most = max(LEAST, ceil(limit / self._requests.queries / 10))
        self._stride = ceil(self._most / (chunk or 1)) * (chunk or 1)
        self._asked: list[tuple[int, Aim]] = []

    @property
    def size(self) -> int:
        """Numbers that there can be."""
        return MOST * self._stride

    def __iter__(self) -> Iterator[Sequence[Question]]:
        """Yield the questions of a round, until nothing is lacking or is given any more."""
        for start in range(0, self.size, self._stride):
            aims = self.written.next_round(self._requests.queries, self._most)
            if not aims:
                return
            self._asked = list(enumerate(aims, start=start))
            yield [self._question(number, aim) for number, aim in self._asked]

    def read(self, run: RunDirectory) -> None:
        """Read the answers to the round that was yielded last, as far as they are there."""
        numbers = {number for number, _ in self._asked}
        rows = {row.number: row for row in run.responses(1).answers() if row.number in numbers}
        self.written.read_round((aim, rows[number]) for number, aim in self._asked if number in rows)

    def whole(self) -> list[Question]:
        """Return the questions where every line of every answer can be used."""
        aims = self.written.next_round(self._requests.queries)
        return [self._question(number, aim) for number, aim in enumerate(aims)]

    def _question(self, number: int, aim: Aim) -> Question:
        name = str(number)
        prompt = self._requests.request(number, aim, self.written.kept[aim])
        return Question(
            Query(aim.name, id=name, number=number), Request(Key(number), prompt, request_seed(self._seed, name, 0))
        )
