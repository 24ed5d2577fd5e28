"""Task: what is asked, under which prompt, and what counts as an answer. The class that plugin authors write."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import replace
from typing import ClassVar, Self

from pdistill.core.contract import prompts
from pdistill.core.contract.constraint import Constraint
from pdistill.core.contract.likeness import Likeness, likeness
from pdistill.core.contract.prompts import QUERY_FIELD, Format, Prompt
from pdistill.core.contract.queries import Query
from pdistill.core.contract.sampling import Allowed, Completion
from pdistill.core.contract.targets import EMPTY, NO_ANSWER, NOT_A_LABEL, HardTarget, Rejected


class Task(ABC):
    """A prompt, its queries, and how answers are read and compared.

    An author gives `prompt` and `queries()`; where answers are labels, `labels` is all that is needed as well. The
    core works with the task as it is `bound` to a run: with the prompt, the frame and the format in the run directory, so
    that a run never changes with the files it was made from.
    """

    prompt: str
    """The long prompt, as the teacher gets it; all of them, one after the other, where there are several."""
    prompts: Mapping[str, str] = {}
    """The prompts by name, where there are several: each query names its own, and the student is asked with that name."""
    labels: tuple[str, ...] | None = None
    """The answers that count; None where any text does."""
    student_frame: str = QUERY_FIELD
    """What the student is asked with: `{query}` stands for the query."""
    format: Format = "chat"
    """Whether both sides are asked by chat messages or by plain text."""
    max_tokens: int = 256
    """The longest answer, in tokens, where the user says nothing."""
    models: ClassVar[Mapping[str, str]] = {}
    """By backend, the model that the task is best tried with."""

    @abstractmethod
    def queries(self) -> Iterable[Query]:
        """Return the task's own queries, in an order that never changes."""

    def bound(
        self,
        *,
        prompt: str | None = None,
        prompts: Mapping[str, str] | None = None,
        student_frame: str | None = None,
        format: Format | None = None,
    ) -> Self:
        """Return the task with these values in place of its own; this one stays as it is."""
        task = copy(self)
        values = {"prompt": prompt, "prompts": prompts, "student_frame": student_frame, "format": format}
        for name, value in values.items():
            if value is not None:
                setattr(task, name, value)
        return task

    def teacher_prompt(self, query: Query) -> Prompt:
        """Return what the teacher is asked with: the prompt and the query."""
        prompt = self.prompts[query.prompt] if query.prompt else self.prompt
        return prompts.teacher_prompt(prompt, query.text, self.format, query.earlier)

    def student_prompt(self, query: Query) -> Prompt:
        """Return what the student is asked with: the query in the student's own frame."""
        return prompts.framed(self.student_frame, query.tagged, self.format, query.earlier)

    def target(self, query: Query, completion: Completion) -> HardTarget | Rejected:
        """Return what the student learns from a response: the label, or the text without white space at its ends."""
        text = completion.text.strip()
        if not text:
            return EMPTY
        if self.labels is not None and text not in self.labels:
            return NOT_A_LABEL
        return HardTarget(text)

    def arm_target(self, query: Query, completion: Completion) -> HardTarget | Rejected:
        """Return what the answer of an arm says, of whichever model: by default as the teacher's is read."""
        return self.target(query, completion)

    def answer(self, target: str) -> str:
        """Return what of a target is compared, counted and scored: by default all of it."""
        return target

    def allowed(self) -> Allowed | None:
        """Return all that the teacher may say where its decoding is constrained: the labels; None where nothing is said of it."""
        return None if self.labels is None else Allowed(labels=self.labels)

    def slices(self, query: Query) -> tuple[str, ...]:
        """Return the names of the breakdowns that the query belongs to."""
        return query.slices

    def group(self, query: Query) -> str | None:
        """Return the name of what must not straddle the split (a document, a translated sentence), or None."""
        return query.group

    def score(self, query: Query, text: str) -> float | None:
        """Return how right a target is, from 0 to 1: equal to the reference; None where there is no reference."""
        return None if query.reference is None else float(self.answer(text) == query.reference)

    def agreement(self, query: Query, text: str, teacher_text: str) -> float:
        """Return how far a target agrees with the teacher's target, from 0 to 1: whether they are equal."""
        return float(self.answer(text) == self.answer(teacher_text))


class FileTask(Task):
    """The task made of files alone: a prompt and queries that the user brings, and what answers must be, where that is said.

    Args:
        labels: the answers that count; None where any text does.
        constraint: what an answer must be instead.
        way: how answers are compared; None: as the constraint does it, or whether they are equal.
        after: the text that a response says before its answer; empty where all of it is the answer.
        keep_reasoning: whether the student learns the whole response, and not the answer alone.
    """

    def __init__(
        self,
        labels: tuple[str, ...] | None = None,
        constraint: Constraint | None = None,
        way: Likeness | None = None,
        after: str = "",
        keep_reasoning: bool = False,
    ) -> None:
        self.prompt = ""
        self.labels = labels
        self.constraint = constraint
        self._way = way
        self._after = after
        self._keep_reasoning = keep_reasoning

    def queries(self) -> Iterable[Query]:
        """Return none: they come from the user's file."""
        return ()

    def target(self, query: Query, completion: Completion) -> HardTarget | Rejected:
        """Return the answer without white space at its ends, or the response as a whole where the student shall reason too."""
        if not self._after:
            return self._valid(query, completion)
        if self._after not in completion.text:
            return NO_ANSWER
        answer = self._valid(query, replace(completion, text=self.answer(completion.text)))
        whole = self._keep_reasoning and isinstance(answer, HardTarget)
        return HardTarget(completion.text.strip()) if whole else answer

    def arm_target(self, query: Query, completion: Completion) -> HardTarget | Rejected:
        """Return the answer also where there is no reasoning before it: a student may have learnt the answer alone."""
        if self._after in completion.text or self._keep_reasoning:
            return self.target(query, completion)
        return self._valid(query, completion)

    def answer(self, target: str) -> str:
        """Return what follows the last text that stands before an answer, or all where it does not occur."""
        return target.rpartition(self._after)[2].strip() if self._after else target

    def allowed(self) -> Allowed | None:
        """Return the labels, or what the constraint allows."""
        return super().allowed() if self.constraint is None else self.constraint.allowed

    def agreement(self, query: Query, text: str, teacher_text: str) -> float:
        """Return how far two answers agree: in the way that was asked for, or as the constraint compares them, or whether they are equal."""
        one, other = self.answer(text), self.answer(teacher_text)
        if self._way is not None:
            return likeness(self._way, one, other)
        return float(one == other) if self.constraint is None else self.constraint.agreement(one, other)

    def score(self, query: Query, text: str) -> float | None:
        """Return how far an answer agrees with the reference; None where there is no reference."""
        return None if query.reference is None else self.agreement(query, text, query.reference)

    def _valid(self, query: Query, completion: Completion) -> HardTarget | Rejected:
        """Return the answer, or why it is not what answers must be."""
        target = super().target(query, completion)
        return target if self.constraint is None or isinstance(target, Rejected) else self.constraint.read(target.text)
