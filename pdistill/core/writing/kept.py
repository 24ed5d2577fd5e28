"""The queries that a model has written so far: those kept, the aims that still lack some, and the lines left out."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest

from pdistill.core.contract.queries import Query
from pdistill.core.numerics.neighbours import Distinct
from pdistill.core.store.answerrow import AnswerRow
from pdistill.core.writing.aims import ANY, Aim
from pdistill.core.writing.lines import Reader

NEAR = "near-duplicates of others"
SURPLUS = "more than were needed"
MAX_BARREN_ROUNDS = 2
"""Rounds without a new query after which an aim is given up."""


class Written:
    """Collects the queries in answers, in the order in which these are read.

    Args:
        aims: what the queries must be like.
        limit: the number of queries that are wanted, divided among the aims; with fewer than aims, the first ones get one each.
        reader: parses an answer.
        seeds: a near-duplicate of one of these is not kept.
    """

    def __init__(self, aims: Sequence[Aim], limit: int, reader: Reader, seeds: Iterable[Query]) -> None:
        aims = aims[:limit]
        share, over = divmod(limit, len(aims))
        self.wanted = {aim: share + (at < over) for at, aim in enumerate(aims)}
        self.kept: dict[Aim, list[str]] = {aim: [] for aim in aims}
        self.rows: list[dict[str, object]] = []
        self.left_out: Counter[str] = Counter()
        self._reader = reader
        self._barren: Counter[Aim] = Counter()
        self._distinct = Distinct()
        for seed in seeds:
            self._distinct.add(seed.text)

    def next_round(self, per_request: int, most: int | None = None) -> list[tuple[Aim, int]]:
        """Return the requests of the next round, the aims in turn: each an aim and the number of queries to ask for.

        There is none where nothing is left to request. The first requests for an aim ask for what is wanted, later ones for as
        many as a request can, because lines of the first were not usable.

        Args:
            per_request: the most queries that a request asks for.
            most: the maximum number of requests in a round.
        """
        open_aims = [aim for aim in self.kept if self._barren[aim] < MAX_BARREN_ROUNDS]
        columns = [[(aim, size) for size in self._sizes(aim, per_request)] for aim in open_aims]
        turns = chain.from_iterable(zip_longest(*columns))
        return [request for request in turns if request is not None][:most]

    def _sizes(self, aim: Aim, per_request: int) -> list[int]:
        full, rest = divmod(self._lacks(aim), per_request)
        last = per_request if aim in self._barren else rest
        return [per_request] * full + [last] * (rest > 0)

    def read_round(self, answers: Iterable[tuple[Aim, AnswerRow]]) -> None:
        """Keep the queries in the answers of a round, until each aim has enough."""
        before = {aim: len(kept) for aim, kept in self.kept.items()}
        aims = set()
        for aim, row in answers:
            aims.add(aim)
            for query, fault in self._reader.read(row.response, row.finish):
                self._take(aim, query, fault)
        for aim in aims:
            self._barren[aim] = 0 if len(self.kept[aim]) > before[aim] else self._barren[aim] + 1

    def _take(self, aim: Aim, query: str, fault: str | None) -> None:
        if fault is None and not self._lacks(aim):
            fault = SURPLUS
        if fault is None and not self._distinct.add(query):
            fault = NEAR
        if fault is not None:
            self.left_out[fault] += 1
            return
        self.kept[aim].append(query)
        self.rows.append({"query": query} if aim == ANY else {"query": query, "slices": [aim.name]})

    def _lacks(self, aim: Aim) -> int:
        return self.wanted[aim] - len(self.kept[aim])
