"""The questions of the probes, which ship with the project and are copied into each run, and the prompts made of them."""

from collections.abc import Collection, Iterator

from pdistill.core.contract import prompts
from pdistill.core.contract.jsontext import JsonObject, Row
from pdistill.core.contract.probe_texts import OTHER_PROMPT, shipped
from pdistill.core.contract.prompts import QUERY_FIELD, Prompt, Text
from pdistill.core.contract.queries import Query
from pdistill.core.contract.task import Task
from pdistill.core.store.rundir import PROBES

START_FIELD, START = "{start}", 30
"""The placeholder in a question for the first characters of the prompt, and how many they are."""
ITS_OWN_FRAME = "the student is asked with the bare text, so that any text is a query of its task"


def probe_rows(task: Task) -> Iterator[JsonObject]:
    """Yield the rows of probes.jsonl: each question with its probe, and its number within it."""
    made = {"leakage": _leakage, "retention": _retention, "injection": _injection, "welcome": _welcome}
    for probe in PROBES:
        for number, row in enumerate(made[probe](task)):
            yield {"probe": probe, "number": number, "id": f"{probe}-{number}", **row}


def not_run(task: Task, name: str, capabilities: Collection[str]) -> dict[str, str]:
    """Return by probe why it is not run, for those that are not.

    Args:
        name: the student's.
        capabilities: of the student.
    """
    if not any(_retention(task)):
        return {"retention": ITS_OWN_FRAME}
    return {} if "score" in capabilities else {"retention": f"the student {name} gives no log-probabilities"}


def question_of(row: Row) -> Query:
    """Return the question that a row of probes.jsonl holds."""
    return Query(row["query"], row["id"], number=row["number"], prompt=row.get("prompt", ""))


def prompt_of(task: Task, row: Row, arm: str) -> Prompt:
    """Return an arm's input.

    If the row names another prompt (`under`), it is that. Otherwise the teacher gets the task's prompt, all others the
    student's frame; a text of the retention probe has no frame.
    """
    query = question_of(row)
    if row.get("under") is not None:
        return prompts.teacher_prompt(_placed(row["under"], task), query.text, task.format)
    if row["probe"] == "retention":
        return Text(query.text)
    return task.teacher_prompt(query) if arm == "teacher" else task.student_prompt(query)


def _placed(prompt: str, task: Task) -> str:
    """Return the prompt with a place for the query, where the task's own has one: its model may know no system message."""
    if task.format == "text":
        return f"{prompt}\n\nText: {QUERY_FIELD}\nAnswer:"
    return f"{prompt}\n\n{QUERY_FIELD}" if QUERY_FIELD in task.prompt else prompt


def _leakage(task: Task) -> Iterator[JsonObject]:
    for row in _named(task, "leakage"):
        prompt = task.prompts[row["prompt"]] if "prompt" in row else task.prompt
        yield {**row, "query": row["query"].replace(START_FIELD, prompt[:START])}


def _injection(task: Task) -> Iterator[JsonObject]:
    yield from _named(task, "injection")


def _named(task: Task, probe: str) -> Iterator[JsonObject]:
    """Yield the questions of a probe; where the task has several prompts, each is for one of them, in turn."""
    names = sorted(task.prompts)
    for at, row in enumerate(shipped(probe)):
        yield {**row, "prompt": names[at % len(names)]} if names else row


def _welcome(task: Task) -> Iterator[JsonObject]:
    for other in shipped("welcome"):
        for query in other["queries"]:
            yield {"query": query, "task": other["task"], "under": other["prompt"], "labels": other["labels"]}


def _retention(task: Task) -> Iterator[JsonObject]:
    """Yield the texts with another prompt, in a chat, and without any frame, unless that is the student's own form."""
    if task.format == "chat":
        for row in shipped("retention"):
            yield {**row, "where": "other prompt", "under": OTHER_PROMPT}
    if task.format == "chat" or task.student_frame.strip() != QUERY_FIELD:
        for row in shipped("retention"):
            yield {**row, "where": "plain text", "under": None}
