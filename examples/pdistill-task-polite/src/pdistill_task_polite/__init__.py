"""A task for pdistill: makes blunt sentences polite. Answers are free text, so agreement is measured by words."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pdistill import Query, Registry, Task, hookimpl, read_text
from pdistill_task_polite.sentences import sentences

HERE = Path(__file__).parent


class Polite(Task):
    """Says the same in polite words."""

    student_frame = "Plain: {query}\nPolite:"
    max_tokens = 32

    def __init__(self) -> None:
        self.prompt = read_text(HERE / "prompt.txt")

    def queries(self) -> Iterator[Query]:
        """Yield the sentences, each with one of the ways to say it politely."""
        yield from sentences()

    def agreement(self, query: Query, text: str, teacher_text: str) -> float:
        """Return the word overlap of both texts: the F1 of their words, as in SQuAD (arXiv:1606.05250)."""
        one, other = words(text), words(teacher_text)
        shared = (one & other).total()
        return 2 * shared / (one.total() + other.total()) if one or other else 1.0

    def score(self, query: Query, text: str) -> float | None:
        """Return the word overlap of the text with the reference."""
        return None if query.reference is None else self.agreement(query, text, query.reference)


def words(text: str) -> Counter[str]:
    """Return the words of a text in lower case, without punctuation, and how often each occurs."""
    return Counter("".join(c if c.isalnum() or c in "'-" else " " for c in text.lower()).split())


@hookimpl
def pdistill_register_tasks(tasks: Registry[Task]) -> None:
    """Register the task `polite`."""
    tasks.register("polite", lambda options: Polite(), summary="make blunt sentences polite")
