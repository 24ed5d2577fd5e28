"""Checks before the first answer is paid for: every kind of prompt of a run can be rendered, and its rows fit the student."""

from collections.abc import Callable, Iterable

from pdistill.core.contract.batches import TokenIds
from pdistill.core.contract.interfaces import Renderer, Student, Teacher, context_of, prompt_tokens
from pdistill.core.contract.prompts import Messages, Prompt
from pdistill.core.contract.queries import Query
from pdistill.core.contract.sampling import Allowed
from pdistill.core.contract.task import Task
from pdistill.core.errors import ContextError
from pdistill.core.probes.questions import probe_rows, prompt_of

FRAME_TOKENS = 256
"""The most tokens that a chat template is taken to put around all messages, where they are not counted."""


def check_teacher(task: Task, queries: Iterable[Query], teacher: Teacher, allowed: Allowed | None) -> None:
    """Guarantee that the teacher's prompts can be rendered, and the labels that its decoding is constrained to.

    Raises:
        BackendError: the chat template rejects one, or the tokenizer has no tokens for a label.
    """
    renderer = teacher.renderer()
    if renderer is None:
        return
    kinds: set[tuple[object, ...]] = set()
    for query in queries:
        prompt = task.teacher_prompt(query)
        if (kind := (_roles(prompt), query.prompt)) in kinds:
            continue
        kinds.add(kind)
        renderer.prompt_ids(prompt)
        for label in (allowed.labels if allowed else None) or ():
            renderer.target_ids(prompt, label)
    _render_probes(task, renderer, ("teacher",))


def check_student(task: Task, queries: Callable[[], Iterable[Query]], student: Student, max_tokens: int) -> None:
    """Guarantee that the student's prompts can be rendered, with and without the teacher's, and that they fit its context.

    Args:
        queries: returns the queries, always in the same order.
        max_tokens: tokens of the longest answer.

    Raises:
        BackendError: the chat template rejects one.
        ContextError: a query with its answer does not fit, or none does with the teacher's prompt.
    """
    renderer, context = student.renderer(), context_of(student)
    kinds: set[tuple[object, ...]] = set()
    shortest: tuple[int, Query] | None = None
    for query in queries():
        bare, prompted = task.student_prompt(query), task.teacher_prompt(query)
        for prompt in (bare, prompted):
            if (kind := (_roles(prompt), query.prompt)) not in kinds:
                kinds.add(kind)
                renderer.prompt_ids(prompt)
        if context is not None and not fits(renderer, bare, max_tokens, context):
            raise _too_long(query, renderer.prompt_ids(bare), (), max_tokens, context)
        size = _most_tokens(prompted)
        if shortest is None or size < shortest[0]:
            shortest = size, query
    _render_probes(task, renderer, ("base", "student"))
    if context is None or shortest is None:
        return
    ids = renderer.prompt_ids(task.teacher_prompt(shortest[1]))
    if len(ids) + max_tokens > context:
        other = next((query for query in queries() if query.number != shortest[1].number), shortest[1])
        raise _too_long(shortest[1], ids, renderer.prompt_ids(task.teacher_prompt(other)), max_tokens, context)


def fits(renderer: Renderer, prompt: Prompt, answer: int, context: int) -> bool:
    """Return whether a prompt and an answer of so many tokens fit the context; counts tokens only where bytes do not tell."""
    return _most_tokens(prompt) + answer <= context or len(renderer.prompt_ids(prompt)) + answer <= context


def _most_tokens(prompt: Prompt) -> int:
    return FRAME_TOKENS + prompt_tokens(None, prompt)


def _render_probes(task: Task, renderer: Renderer, arms: Iterable[str]) -> None:
    seen = set()
    for arm in arms:
        for row in probe_rows(task):
            prompt = prompt_of(task, row, arm)
            if (kind := (row["probe"], arm, _roles(prompt))) not in seen:
                seen.add(kind)
                renderer.prompt_ids(prompt)


def _roles(prompt: Prompt) -> tuple[str, ...]:
    return tuple(message.role for message in prompt.messages) if isinstance(prompt, Messages) else ()


def _too_long(query: Query, ids: TokenIds, other: TokenIds, max_tokens: int, context: int) -> ContextError:
    shared = next((at for at, pair in enumerate(zip(ids, other, strict=False)) if pair[0] != pair[1]), 0)
    error = ContextError(query.number, shared, len(ids) - shared, max_tokens, context)
    error.name = query.id
    return error
