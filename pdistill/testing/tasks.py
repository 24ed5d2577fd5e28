"""The contract of tasks, one function per requirement."""

from collections.abc import Callable, Iterator
from itertools import islice, zip_longest

from pdistill.core.contract.prompts import QUERY_FIELD, Prompt, Text, check_prompt
from pdistill.core.contract.queries import Query, numbered
from pdistill.core.contract.sampling import Completion
from pdistill.core.contract.targets import HardTarget
from pdistill.core.contract.task import Task
from pdistill.core.errors import PdistillError

MAX_QUERIES = 10_000  # how many queries are checked one by one


def queries_are_stable(task: Task) -> None:
    """Two calls of `queries()` give the same queries, and there are some."""
    count = 0
    for number, (one, two) in enumerate(zip_longest(task.queries(), task.queries())):
        assert one == two, (
            f"query number {number} is {one!r} the first time and {two!r} the second; queries() must be deterministic"
        )
        count += 1
    assert count, "queries() returns none; a plugin's task must have its own queries"


def ids_are_unique(task: Task) -> None:
    """No two queries have the same id."""
    try:
        for _ in numbered(task.queries):
            pass
    except PdistillError as error:
        raise AssertionError(str(error)) from None


def queries_have_text(task: Task) -> None:
    """Every query has text, and its slices and group have the right types."""
    for query in _queries(task):
        assert query.text.strip(), f"query {query.id} is empty; remove it"
        slices, group = task.slices(query), task.group(query)
        assert isinstance(slices, tuple) and all(isinstance(name, str) for name in slices), (  # noqa: PT018
            f"slices of query {query.id} are {slices!r}; return a tuple of names"
        )
        assert group is None or isinstance(group, str), f"group of query {query.id} is {group!r}; return a name or None"


def prompt_fits_the_format(task: Task) -> None:
    """The prompt is not empty, and the frame and a text prompt contain the query field."""
    try:
        check_prompt(task.prompt, task.student_frame, task.format)
    except PdistillError as error:
        raise AssertionError(str(error)) from None


def teacher_sees_prompt_and_query(task: Task) -> None:
    """The teacher's input contains the prompt and the query."""
    for query in _queries(task):
        text = text_of(task.teacher_prompt(query))
        assert query.text in text, f"the teacher's prompt lacks query {query.id}, {query.text!r}; see teacher_prompt()"
        for part in task.prompt.split(QUERY_FIELD):
            assert part.strip() in text, (
                f"the teacher's prompt for query {query.id} lacks {part[:80]!r}; see teacher_prompt()"
            )


def student_sees_only_the_query(task: Task) -> None:
    """The student's input contains the query and no line of the prompt."""
    lines = [line.strip() for line in task.prompt.replace(QUERY_FIELD, "\n").splitlines() if len(line.split()) > 2]
    for query in _queries(task):
        text = text_of(task.student_prompt(query))
        assert query.text in text, f"the student's prompt lacks query {query.id}, {query.text!r}; see student_prompt()"
        frame = text.replace(query.text, "")
        for line in lines:
            assert line not in frame, (
                f"the student's prompt for query {query.id} contains {line!r} of the prompt; remove it"
            )


def empty_answers_are_rejected(task: Task) -> None:
    """An empty answer is not a target."""
    query = next(_queries(task))
    for text in ("", " ", "\n\n"):
        target = task.target(query, Completion(text, "stop"))
        assert not isinstance(target, HardTarget), f"target() accepts the answer {text!r}; return Rejected for it"


def labels_are_read_strictly(task: Task) -> None:
    """Each label is a valid target; a label within a sentence is not."""
    if task.labels is None:
        return
    assert len(set(task.labels)) == len(task.labels), f"labels {task.labels} contains duplicates; list each label once"
    query = next(_queries(task))
    for label in task.labels:
        target = task.target(query, Completion(label, "stop"))
        assert isinstance(target, HardTarget), (
            f"target() rejects the label {label!r} ({target}); accept every label as it is"
        )
        sentence = f"I would say that it is {label}, but I am not sure"
        guess = task.target(query, Completion(sentence, "stop"))
        assert not isinstance(guess, HardTarget), (
            f"target() guesses a label out of {sentence!r}; reject what is not a label"
        )


def references_are_targets(task: Task) -> None:
    """Every reference, given as the answer, becomes a target with a score of 1."""
    for query in _queries(task):
        if query.reference is None:
            continue
        target = task.target(query, Completion(query.reference, "stop"))
        assert isinstance(target, HardTarget), (
            f"target() rejects the reference {query.reference!r} of query {query.id} ({target}); write it in the form that the prompt asks for"
        )
        score = task.score(query, target.text)
        assert score == 1, f"score() of query {query.id} is {score} for its own reference {query.reference!r}, not 1"


def agreement_is_a_share(task: Task) -> None:
    """A target agrees fully with itself, and agreement is between 0 and 1."""
    query = next(_queries(task))
    one, other = (task.labels or ("one answer", "another answer"))[0], (task.labels or ("", "another answer"))[-1]
    same, mixed = task.agreement(query, one, one), task.agreement(query, one, other)
    assert same == 1, f"agreement() of {one!r} with itself is {same}, not 1"
    assert 0 <= mixed <= 1, f"agreement() of {one!r} with {other!r} is {mixed}, not between 0 and 1"


CHECKS: dict[str, Callable[[Task], None]] = {
    check.__name__: check
    for check in (
        queries_are_stable,
        ids_are_unique,
        queries_have_text,
        prompt_fits_the_format,
        teacher_sees_prompt_and_query,
        student_sees_only_the_query,
        empty_answers_are_rejected,
        labels_are_read_strictly,
        references_are_targets,
        agreement_is_a_share,
    )
}


def text_of(prompt: Prompt) -> str:
    """Return all text of a prompt."""
    if isinstance(prompt, Text):
        return prompt.text
    return "\n".join(message.content for message in prompt.messages)


def _queries(task: Task) -> Iterator[Query]:
    return numbered(lambda: islice(task.queries(), MAX_QUERIES))
