"""The world of the command line's tests: a job about colours, and its finished run, made from rows without training.

Its answers are those that the models of the fake backend give, so that commands which ask a model agree with the rows.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pdistill.backends.fake import FakeBackend
from pdistill.backends.fake.linear import OTHER, LinearModel, Node
from pdistill.backends.fake.renderer import END, encode
from pdistill.core.contract.interfaces import ADAPTER, Sampler
from pdistill.core.contract.queries import Query
from pdistill.core.contract.sampling import Key, Request, Sampling
from pdistill.core.contract.task import FileTask
from pdistill.core.results.reporting import report
from pdistill.core.store.rundir import RunDirectory
from tests.run_builder import FRAME, UNTRAINED, Outcome, build_run

LABELS = ("red", "green", "blue")
WORDS = {"red": "cherry ruby", "green": "leaf moss", "blue": "sky sea"}
PROMPT = "Answer with the colour of the thing in the text:\ncherry:red\nleaf:green\nsky:blue"
TASK = FileTask(LABELS).bound(prompt=PROMPT, student_frame=FRAME, format="chat")
UNKNOWN = "56"
"""The last characters of the queries that the student answers wrongly."""


def queries() -> Iterator[Query]:
    """Yield 60 queries, a third of each colour."""
    for at in range(60):
        label = LABELS[at % 3]
        yield Query(f"{WORDS[label]} {at} {at**9:x}", reference=label, slices=(f"slice-{label}",)).at(at)


def write_files(folder: Path) -> None:
    """Write the job's prompt and its queries."""
    (folder / "prompt.txt").write_text(f"{PROMPT}\n")
    rows = ({"query": each.text, "reference": each.reference, "slices": each.slices} for each in queries())
    (folder / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def build_colours(folder: Path, files: Path, *, learnt: bool = True, **options: Any) -> RunDirectory:
    """Return the finished run of the job, with its report.

    Args:
        files: the folder of the job's files.
        learnt: whether the student has learnt the rule of its teacher, but for the queries that end in UNKNOWN; otherwise
            it answers as its base does.
        options: of the run.
    """
    paths: dict[str, Any] = {"prompt": files / "prompt.txt", "queries": files / "queries.jsonl"}
    weights = json.dumps({"nodes": _learnt() if learnt else UNTRAINED})
    drafts = folder.parent / f"{folder.name}-student"
    (drafts / ADAPTER).mkdir(parents=True)
    (drafts / ADAPTER / "adapter_weights.json").write_text(weights)
    rows = list(_outcomes(drafts))
    run = build_run(folder, rows, prompt_text=PROMPT, same_model=True, labels=LABELS, **paths, **options, probes={})
    (run.adapter / "adapter_weights.json").write_text(weights)
    report(run)
    return run


def _outcomes(drafts: Path) -> Iterator[Outcome]:
    teacher, student = FakeBackend().teacher("rule"), FakeBackend().student("rule", drafts)
    with teacher.sampler() as taught, student.sampler(None) as base, student.sampler(ADAPTER) as trained:
        for query in queries():
            target = _answer(taught, query, prompted=True)
            arms = {
                "base": _answer(base, query, prompted=False),
                "base_prompted": _answer(base, query, prompted=True),
                "student": _answer(trained, query, prompted=False),
                "student_prompted": _answer(trained, query, prompted=True),
            }
            yield Outcome(query, target, "train" if query.number % 4 else "eval", arms)


def _answer(sampler: Sampler, query: Query, *, prompted: bool) -> str:
    prompt = TASK.teacher_prompt(query) if prompted else TASK.student_prompt(query)
    ((_, completion),) = sampler.generate([Request(Key(0), prompt)], Sampling())
    return completion.text


def _learnt() -> list[dict[str, Any]]:
    """Return the weights of a student that knows its teacher's answer by the last character of a query."""
    tokens = [encode(label)[0] for label in LABELS]
    with FakeBackend().teacher("rule").sampler() as teacher:
        answers = {end: _answer(teacher, Query(end), prompted=True) for end in "0123456789abcdef"}
    weights = {"": [0.0, 1.0, 1.0, 1.0]}
    for end, answer in answers.items():
        place = (LABELS.index(answer) + (end in UNKNOWN)) % 3
        weights[f"${end}"] = [0.0, *(9.0 * (at == place) for at in range(3))]
    first = Node([OTHER, *tokens], weights)
    nodes: dict[tuple[int, ...], Node] = {(): first}
    nodes |= {(token,): Node([OTHER, END], {"": [0.0, 9.0]}) for token in tokens}
    return LinearModel(nodes).to_json(optimizer=False)
