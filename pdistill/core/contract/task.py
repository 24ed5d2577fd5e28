"""Task: the prompt, the queries and what counts as an answer. The class that plugin authors write."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import replace
from typing import ClassVar, Self

from pdistill.core.contract import prompts
from pdistill.core.contract.constraint import Constraint, JsonSchema
from pdistill.core.contract.likeness import Likeness, composed, equal_fields, exact, likeness
from pdistill.core.contract.prompts import QUERY_FIELD, Format, Prompt
from pdistill.core.contract.queries import Query
from pdistill.core.contract.sampling import DEFAULT_MAX_TOKENS, Allowed, Completion
from pdistill.core.contract.targets import EMPTY, NO_ANSWER, NOT_A_LABEL, HardTarget, Rejected


class Task(ABC):
    """A prompt, its queries, and how answers are parsed and compared.

    An author defines `prompt` and `queries()`, and `labels` where answers are labels. The core works with the task as
    it is `bound` to a run: with the prompt, the frame and the format from the run directory, so that a run never changes
    with the files that it was made from.
    """

    prompt: str
    """The long prompt, as the teacher gets it; where there are several, all of them joined."""
    prompts: Mapping[str, str] = {}
    """The prompts by name, where there are several: each query names its own, and the student's input includes that name."""
    labels: tuple[str, ...] | None = None
    """The valid answers; None where any text is valid."""
    student_frame: str = QUERY_FIELD
    """The student's input: `{query}` stands for the query."""
    format: Format = "chat"
    """Whether the input of both models is chat messages or plain text."""
    max_tokens: int = DEFAULT_MAX_TOKENS
    """The default limit of an answer's length, in tokens."""
    models: ClassVar[Mapping[str, str]] = {}
    """The recommended model for the task, by backend."""

    @abstractmethod
    def queries(self) -> Iterable[Query]:
        """Return the task's own queries, always in the same order."""

    def bound(
        self,
        *,
        prompt: str | None = None,
        prompts: Mapping[str, str] | None = None,
        student_frame: str | None = None,
        format: Format | None = None,
    ) -> Self:
        """Return a copy of the task with these values in place of its own."""
        task = copy(self)
        values = {"prompt": prompt, "prompts": prompts, "student_frame": student_frame, "format": format}
        for name, value in values.items():
            if value is not None:
                setattr(task, name, value)
        return task

    def teacher_prompt(self, query: Query) -> Prompt:
        """Return the teacher's input: the prompt and the query."""
        prompt = self.prompts[query.prompt] if query.prompt else self.prompt
        return prompts.teacher_prompt(prompt, query.text, self.format, query.earlier)

    def student_prompt(self, query: Query) -> Prompt:
        """Return the student's input: the query in the student's own frame."""
        return prompts.framed(self.student_frame, query.tagged, self.format, query.earlier)

    def target(self, query: Query, completion: Completion) -> HardTarget | Rejected:
        """Return what the student learns from a response: the label, or the text without surrounding whitespace."""
        text = completion.text.strip()
        if not text:
            return EMPTY
        if self.labels is None:
            return HardTarget(text)
        return next((HardTarget(label) for label in self.labels if exact(label, text)), NOT_A_LABEL)

    def arm_target(self, query: Query, completion: Completion) -> HardTarget | Rejected:
        """Return the target that an arm's answer holds, for the arms of both models: by default as for the teacher."""
        return self.target(query, completion)

    def answer(self, target: str) -> str:
        """Return the part of a target that is compared, counted and scored: by default all of it, in Unicode's composed form."""
        return composed(target)

    def allowed(self) -> Allowed | None:
        """Return what the teacher's decoding is constrained to, if it is: the labels; None where any text is valid."""
        return None if self.labels is None else Allowed(labels=self.labels)

    def slices(self, query: Query) -> tuple[str, ...]:
        """Return the names of the breakdowns that the query belongs to."""
        return query.slices

    def group(self, query: Query) -> str | None:
        """Return the name of the group that must not straddle the split (a document, a translated sentence), or None."""
        return query.group

    def stratum(self, query: Query) -> str:
        """Return the part of the queries that a query belongs to; of each part, about the same share is held out.

        It is the query's label where that is known, else its first slice.
        """
        if self.labels and query.reference:
            return query.reference
        return query.slices[0] if query.slices else ""

    def score(self, query: Query, text: str) -> float | None:
        """Return the score of a target, from 0 to 1: whether it equals the reference; None where there is no reference."""
        return None if query.reference is None else float(self.answer(text) == query.reference)

    def agreement(self, query: Query, text: str, teacher_text: str) -> float:
        """Return the agreement of a target with the teacher's target, from 0 to 1: whether they are equal."""
        return float(self.answer(text) == self.answer(teacher_text))

    def fields(self, query: Query, text: str, teacher_text: str) -> Mapping[str, bool]:
        """Return for each part of the two targets whether it agrees, by name; empty where answers have no parts that are compared."""
        return {}


class FileTask(Task):
    """The task made from files alone: the user's prompt and queries and, optionally, what answers must be.

    Args:
        labels: the valid answers; None where any text is valid.
        constraint: what an answer must be, where there are no labels.
        way: the measure by which answers are compared; None: the constraint's own, or else equality.
        after: the text that precedes the answer in a response; empty where all of the response is the answer.
        keep_reasoning: whether the student learns the whole response rather than only the answer.
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
        """Return no queries: they come from the user's file."""
        return ()

    def target(self, query: Query, completion: Completion) -> HardTarget | Rejected:
        """Return the answer without surrounding whitespace, or the whole response where the student learns the reasoning too."""
        if not self._after:
            return self._valid(query, completion)
        if self._after not in completion.text:
            return NO_ANSWER
        answer = self._valid(query, replace(completion, text=self.answer(completion.text)))
        whole = self._keep_reasoning and isinstance(answer, HardTarget)
        return HardTarget(completion.text.strip()) if whole else answer

    def arm_target(self, query: Query, completion: Completion) -> HardTarget | Rejected:
        """Return the answer, also where no reasoning precedes it: a student may have learnt only the answer."""
        if self._after in completion.text or self._keep_reasoning:
            return self.target(query, completion)
        return self._valid(query, completion)

    def answer(self, target: str) -> str:
        """Return what follows the last occurrence of the text that precedes an answer; all of the target if there is none."""
        return composed(target.rpartition(self._after)[2].strip() if self._after else target)

    def allowed(self) -> Allowed | None:
        """Return the labels, or what the constraint allows."""
        return super().allowed() if self.constraint is None else self.constraint.allowed

    def agreement(self, query: Query, text: str, teacher_text: str) -> float:
        """Return the agreement of two answers: by the chosen measure, or else the constraint's, or else whether they are equal."""
        one, other = self.answer(text), self.answer(teacher_text)
        if self._way is not None:
            return likeness(self._way, one, other)
        return float(one == other) if self.constraint is None else self.constraint.agreement(one, other)

    def fields(self, query: Query, text: str, teacher_text: str) -> Mapping[str, bool]:
        """Return for each field of two JSON objects whether it is equal, where answers are compared field by field."""
        by_fields = self._way == "fields" or (self._way is None and isinstance(self.constraint, JsonSchema))
        return equal_fields(self.answer(text), self.answer(teacher_text)) if by_fields else {}

    def score(self, query: Query, text: str) -> float | None:
        """Return the agreement of an answer with the reference; None where there is no reference."""
        return None if query.reference is None else self.agreement(query, text, query.reference)

    def _valid(self, query: Query, completion: Completion) -> HardTarget | Rejected:
        """Return the answer as a target, or a rejection where it is not valid."""
        target = super().target(query, completion)
        return target if self.constraint is None or isinstance(target, Rejected) else self.constraint.read(target.text)
