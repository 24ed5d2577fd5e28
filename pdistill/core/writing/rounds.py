"""The rounds of requests for queries: each depends only on the answers of the rounds before it."""

from collections.abc import Iterator, Sequence
from math import ceil

from pdistill.core.answers.collect import Question
from pdistill.core.contract.prompts import Format
from pdistill.core.contract.queries import Query
from pdistill.core.contract.sampling import Key, Request, request_seed
from pdistill.core.store.rundir import RunDirectory
from pdistill.core.writing.aims import Aim
from pdistill.core.writing.kept import Written
from pdistill.core.writing.settings import Source

ROUND_LIMIT = 100
"""The most requests in a round of a small job; in a large job, a tenth of all requests."""
MAX_ROUNDS = 50


class Rounds:
    """Yields the questions of each round; `read` must be called once they are answered, before the next round.

    The numbers of a round begin at a multiple of `chunk`, so that no chunk of a backend straddles two rounds.

    Args:
        chunk: consecutive numbers that the backend answers together, or None.
    """

    def __init__(self, source: Source, limit: int, format: Format, chunk: int | None) -> None:
        self._aims = source.aims(format)
        self._requests = source.requests(format)
        self._seed = int(source.asked["seed"])
        self.written = Written(self._aims, limit, source.reader(format), source.seeds)
        self._most = max(ROUND_LIMIT, ceil(limit / self._requests.queries / 10))
        self._stride = ceil(self._most / (chunk or 1)) * (chunk or 1)
        self._round: list[tuple[int, tuple[Aim, int]]] = []

    @property
    def size(self) -> int:
        """The number of question numbers."""
        return MAX_ROUNDS * self._stride

    def __iter__(self) -> Iterator[Sequence[Question]]:
        """Yield the questions of a round, until no aim lacks queries or all that do are given up."""
        for start in range(0, self.size, self._stride):
            requests = self.written.next_round(self._requests.queries, self._most)
            if not requests:
                return
            self._round = list(enumerate(requests, start=start))
            yield [self._question(number, *request) for number, request in self._round]

    def read(self, run: RunDirectory) -> None:
        """Read the stored answers to the round that was yielded last."""
        numbers = {number for number, _ in self._round}
        rows = {row.number: row for row in run.responses(1).answers() if row.number in numbers}
        self.written.read_round((aim, rows[number]) for number, (aim, _) in self._round if number in rows)

    def all_questions(self) -> list[Question]:
        """Return the questions of the whole job if every line of every answer is usable."""
        requests = self.written.next_round(self._requests.queries)
        return [self._question(number, *request) for number, request in enumerate(requests)]

    def _question(self, number: int, aim: Aim, count: int) -> Question:
        name = str(number)
        prompt = self._requests.request(number, aim, count, self.written.kept[aim])
        return Question(
            Query(aim.name, id=name, number=number), Request(Key(number), prompt, request_seed(self._seed, name, 0))
        )
