"""A task for pdistill: what the customers of a bicycle workshop think of it."""

from collections.abc import Iterable
from pathlib import Path

from pdistill import Query, Registry, Task, hookimpl
from pdistill.core.queryfiles import read_queries, read_text

HERE = Path(__file__).parent


class Sentiment(Task):
    """Says whether a customer's note is good, bad, mixed or none of these."""

    labels = ("good", "bad", "mixed", "none")
    max_tokens = 8

    def __init__(self) -> None:
        self.prompt = read_text(HERE / "prompt.txt")

    def queries(self) -> Iterable[Query]:
        """Return the notes."""
        return read_queries(HERE / "queries.jsonl")


@hookimpl
def pdistill_register_tasks(tasks: Registry[Task]) -> None:
    """Register the task `sentiment`."""
    tasks.register("sentiment", lambda options: Sentiment(), summary="what a bicycle workshop's customers think of it")
