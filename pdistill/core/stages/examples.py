"""The examples: made from the responses, and rendered as rows of tokens for the training."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pdistill.core.answers.selection import Selection, read_target
from pdistill.core.contract.batches import Batch, HardRow, hard_batch, hard_row
from pdistill.core.contract.interfaces import Renderer
from pdistill.core.contract.queries import Query
from pdistill.core.contract.targets import HardTarget, Rejected
from pdistill.core.contract.task import Task
from pdistill.core.errors import TaskError
from pdistill.core.numerics.split import part_of
from pdistill.core.setup.work import Work
from pdistill.core.store.rows import Row, RowIndex, read_rows, write_rows
from pdistill.core.store.rundir import RunDirectory


def write_examples(
    work: Work, run: RunDirectory, settings: Mapping[str, Any], groups: Iterable[tuple[Query, str]]
) -> None:
    """Guarantee that examples.jsonl holds one row a query: its part of the split, its target or why there is none.

    Args:
        groups: the queries, each with its group.
    """
    if run.examples.exists():
        return
    write_rows(run.examples, _examples(work, run, settings, groups), run.seal)


def _examples(
    work: Work, run: RunDirectory, settings: Mapping[str, Any], groups: Iterable[tuple[Query, str]]
) -> Iterator[dict[str, Any]]:
    samples = settings["samples"]
    selection = Selection(settings["select"], settings["min_confidence"])
    responses = read_rows(run.check(run.responses(samples).path))
    for query, group in groups:
        drawn = [read_target(work.task, query, row) for row in islice(responses, samples)]
        part = part_of(group, settings["seed"])
        target, confidence = selection.pick(work.task, query, drawn, part)
        row: dict[str, Any] = {
            "number": query.number,
            "id": query.id,
            "split": part,
            "group": group,
            "target": target.text if isinstance(target, HardTarget) else None,
            "rejected": target.reason if isinstance(target, Rejected) else None,
        }
        if samples > 1:
            row["confidence"] = confidence
        yield row


def rejections(run: RunDirectory) -> Counter[str]:
    """Return how often each reason for rejection occurs in examples.jsonl."""
    return Counter(row["rejected"] for row in read_rows(run.examples) if row["rejected"] is not None)


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """The training examples of a run as rows of tokens, rendered when they are asked for."""

    task: Task
    renderer: Renderer
    queries: RowIndex
    examples: RowIndex

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, place: int) -> HardRow:
        example = self.examples[place]
        query = Query.from_row(self.queries[example["number"]])
        return render(self.renderer, self.task, query, example["target"])

    def batch(self, places: Sequence[int]) -> Batch:
        """Return the batch of these examples."""
        return hard_batch([self[place] for place in places])


@contextmanager
def training_rows(run: RunDirectory, task: Task, renderer: Renderer) -> Iterator[TrainingRows]:
    """Return the training examples, opened.

    Raises:
        TaskError: there is no example to train on.
    """

    def trained(row: Row) -> bool:
        return row["split"] == "train" and row["target"] is not None

    with RowIndex(run.check(run.queries)) as queries, RowIndex(run.check(run.examples), trained) as examples:
        if not len(examples):
            reasons = f"look at the reasons in {run.examples}, and at the prompt or the labels"
            raise TaskError(f"there is no example to train on: {reasons}")
        yield TrainingRows(task, renderer, queries, examples)


def render(renderer: Renderer, task: Task, query: Query, target: str) -> HardRow:
    """Return the row that a query and its target are trained as: frame and target joined as ids, loss on the target."""
    prompt = task.student_prompt(query)
    return hard_row(renderer.prompt_ids(prompt), renderer.target_ids(prompt, target))
