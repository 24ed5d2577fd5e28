"""The examples: made from the responses, and rendered as rows of tokens for training."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice

from pdistill.core.answers.selection import Selection, read_target
from pdistill.core.contract.batches import Batch, HardRow, hard_batch, hard_row
from pdistill.core.contract.interfaces import Renderer, SpecialTokens, Student, Teacher, context_of
from pdistill.core.contract.prompts import Prompt
from pdistill.core.contract.queries import Query
from pdistill.core.contract.targets import NEAR_HELD_OUT, SPECIAL, TOO_LONG, UNSAYABLE, HardTarget, Rejected
from pdistill.core.contract.task import Task
from pdistill.core.errors import TargetError, TaskError
from pdistill.core.numerics.split import Placed
from pdistill.core.setup.opened_run import OpenedRun
from pdistill.core.stages.renderable import fits
from pdistill.core.store.answerrow import AnswerRow
from pdistill.core.store.example import Example
from pdistill.core.store.rows import RowIndex, read_records, write_rows
from pdistill.core.store.rundir import RunDirectory


def write_examples(
    run: OpenedRun,
    placed: Iterable[Placed],
    teacher: Callable[[], Teacher],
    student: Callable[[], Student],
) -> None:
    """Guarantee that examples.jsonl holds one row per query: its split, and its target or why it has none.

    Args:
        placed: the queries, each with its place in the split.
        teacher: makes the model that answered; an answer with one of its special tokens is rejected.
        student: makes the model that is to learn them; a target that it can't give is rejected.
    """
    directory = run.directory
    if not directory.examples.exists():
        rows = (example.as_row() for example in _examples(run, placed, teacher(), student()))
        write_rows(directory.examples, rows, directory.seal)


def _examples(run: OpenedRun, placed: Iterable[Placed], teacher: Teacher, student: Student) -> Iterator[Example]:
    answered_by = teacher.renderer()
    renderer, context = student.renderer(), context_of(student)
    settings, directory = run.settings, run.directory
    selection = Selection(settings.select, settings.min_confidence)
    responses = read_records(AnswerRow, directory.check(directory.responses(settings.samples).path))
    for query, group, split, near_held_out in placed:
        samples = [
            _with_special_tokens(answered_by, row) or read_target(run.task, query, row)
            for row in islice(responses, settings.samples)
        ]
        target, confidence = selection.pick(run.task, query, samples, split)
        if near_held_out:
            target = NEAR_HELD_OUT
        elif isinstance(target, HardTarget):
            target = _learnable(renderer, context, run.task.student_prompt(query), target)
        yield Example(
            number=query.number,
            id=query.id,
            split=split,
            group=group,
            target=target.text if isinstance(target, HardTarget) else None,
            rejected=target.reason if isinstance(target, Rejected) else None,
            confidence=confidence if settings.samples > 1 else None,
        )


def _with_special_tokens(renderer: object, row: AnswerRow) -> Rejected | None:
    """Return the rejection of an answer that holds special tokens of its model, where the renderer knows them."""
    if row.finish == "stop" and isinstance(renderer, SpecialTokens) and renderer.holds_special_tokens(row.response):
        return SPECIAL
    return None


def _learnable(renderer: Renderer, context: int | None, prompt: Prompt, target: HardTarget) -> HardTarget | Rejected:
    """Return the target, or a rejection where the student has no tokens for it or its context no room."""
    try:
        ids = renderer.target_ids(prompt, target.text)
    except TargetError:
        return UNSAYABLE
    return target if context is None or fits(renderer, prompt, len(ids), context) else TOO_LONG


def rejections(run: RunDirectory) -> Counter[str]:
    """Return how often each reason for rejection occurs in examples.jsonl."""
    examples = read_records(Example, run.examples)
    return Counter(example.rejected for example in examples if example.rejected is not None)


@dataclass(frozen=True, slots=True)
class TrainingRows:
    """The training examples of a run as rows of tokens, rendered on access."""

    task: Task
    renderer: Renderer
    queries: RowIndex[Query]
    examples: RowIndex[Example]

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, place: int) -> HardRow:
        example = self.examples[place]
        return render(self.renderer, self.task, self.queries[example.number], example.target or "")

    def batch(self, places: Sequence[int]) -> Batch:
        """Return the batch of these examples."""
        return hard_batch([self[place] for place in places])


@contextmanager
def training_rows(run: RunDirectory, task: Task, renderer: Renderer) -> Iterator[TrainingRows]:
    """Return a context manager that opens the training examples.

    Raises:
        TaskError: there is no example to train on.
    """
    with (
        RowIndex(Query, run.check(run.queries)) as queries,
        RowIndex(Example, run.check(run.examples), lambda example: example.trained_on) as examples,
    ):
        if not len(examples):
            advice = f"read the reasons in {run.examples}, and check the prompt or the labels"
            raise TaskError(f"there is no example to train on; {advice}")
        yield TrainingRows(task, renderer, queries, examples)


def render(renderer: Renderer, task: Task, query: Query, target: str) -> HardRow:
    """Return the training row of a query and its target: the ids of frame and target, with the loss on the target."""
    prompt = task.student_prompt(query)
    return hard_row(renderer.prompt_ids(prompt), renderer.target_ids(prompt, target))
