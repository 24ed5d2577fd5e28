"""A task for pdistill: what the customers of a bicycle workshop think of it."""

from collections.abc import Iterator
from pathlib import Path

from pdistill import Query, Registry, Task, hookimpl, read_queries, read_text
from pdistill_task_sentiment.notes import notes

HERE = Path(__file__).parent


class Sentiment(Task):
    """Says whether a customer's note is good, bad or neither."""

    labels = ("good", "bad", "none")
    student_frame = "Note: {query}\nKind:"
    max_tokens = 8

    def __init__(self) -> None:
        self.prompt = read_text(HERE / "prompt.txt")

    def queries(self) -> Iterator[Query]:
        """Yield the notes that were written one by one, then the generated ones."""
        for note in read_queries(HERE / "queries.jsonl"):
            yield Query(note.text, reference=note.reference, slices=("written",))
        yield from notes()


@hookimpl
def pdistill_register_tasks(tasks: Registry[Task]) -> None:
    """Register the task `sentiment`."""
    tasks.register("sentiment", lambda options: Sentiment(), summary="what a bicycle workshop's customers think of it")
