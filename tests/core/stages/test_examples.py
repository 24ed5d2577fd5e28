"""How responses become examples, and examples rows of tokens."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from pdistill.backends.fake.renderer import FakeRenderer
from pdistill.backends.fake.student import FakeStudent
from pdistill.core.contract.prompts import Prompt
from pdistill.core.contract.queries import Query
from pdistill.core.contract.targets import NEAR_HELD_OUT, UNSURE
from pdistill.core.errors import RunError, TargetError, TaskError
from pdistill.core.numerics.split import Placed
from pdistill.core.setup.opened_run import reopen
from pdistill.core.stages.examples import rejections, training_rows, write_examples
from pdistill.core.store.example import Example
from pdistill.core.store.rows import read_records
from pdistill.core.store.rundir import RunDirectory
from tests.run_builder import Outcome, build_run, outcomes

SAMPLES = [
    ("animal", "animal", "animal", "animal"),
    ("fruit", "animal", "fruit", "fruit"),
    ("animal", "other", "other", "animal"),
    ("animal", "what?", "", "what?"),
]


def sampled(query: Query) -> Outcome:
    return Outcome(query, responses=SAMPLES[query.number % 4])


def made(folder: Path, **options: Any) -> RunDirectory:
    """Return a run whose examples were made from its responses; each query is a group of its own."""
    rows = outcomes((f"{at**9:x}" for at in range(60)), sampled)
    run = build_run(folder, rows, until="generate", samples=4, temperature=1.0, **options)
    run.examples.unlink()
    _write(run, (placed(row.query) for row in rows))
    return run


def placed(query: Query, near_held_out: bool = False) -> Placed:
    return Placed(query, query.id, "eval" if query.number % 5 == 2 else "train", near_held_out)


def _write(run: RunDirectory, queries: Iterable[Placed]) -> None:
    opened = reopen(run)
    models = opened.models()
    write_examples(opened, queries, models.teacher.teacher, lambda: models.student.student(run.path))


def examples(run: RunDirectory) -> list[Example]:
    return list(read_records(Example, run.examples))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return made(tmp_path_factory.mktemp("examples") / "run")


def test_each_query_has_the_most_common_target_or_the_reason_why_there_is_none(plain: RunDirectory) -> None:
    expected = [
        ("animal", None, 1.0),
        ("fruit", None, 0.75),
        ("animal", None, 0.5),
        (None, "not one of the labels", 0.75),
    ]
    for number, example in enumerate(examples(plain)):
        assert (example.number, example.id, example.group) == (number, str(number), str(number))
        assert (example.target, example.rejected, example.confidence) == expected[number % 4]
    assert rejections(plain) == {"not one of the labels": 15}


def test_what_is_too_close_to_a_held_out_query_is_not_trained_on(tmp_path: Path, plain: RunDirectory) -> None:
    assert [each.number for each in examples(plain) if each.split == "eval"] == list(range(2, 60, 5))
    run = made(tmp_path / "run")
    run.examples.unlink()
    _write(run, (placed(query, near_held_out=query.number == 10) for query in read_records(Query, run.queries)))
    kept, left_out = examples(plain)[10], examples(run)[10]
    assert kept.trained_on
    assert (left_out.split, left_out.target, left_out.rejected) == ("train", None, NEAR_HELD_OUT.reason)


def test_unsure_examples_are_not_trained_on_and_are_counted(tmp_path: Path, plain: RunDirectory) -> None:
    strict = made(tmp_path / "strict", min_confidence=1.0)
    unsure = [each for each in examples(plain) if (each.confidence or 0) < 1 and each.trained_on]
    assert unsure
    expected = Counter(each.rejected for each in examples(plain) if each.rejected)
    expected[UNSURE.reason] = len(unsure)
    assert rejections(strict) == expected
    for before, row in zip(examples(plain), examples(strict), strict=True):
        same = before.split == "eval" or before.confidence == 1 or before.rejected
        assert (row.target, row.rejected) == ((before.target, before.rejected) if same else (None, UNSURE.reason))
        assert (row.split, row.confidence) == (before.split, before.confidence)


def test_examples_that_are_there_stay(plain: RunDirectory) -> None:
    before = plain.examples.read_bytes()
    _write(plain, [])
    assert plain.examples.read_bytes() == before


def test_training_rows_are_those_of_the_training_examples(plain: RunDirectory) -> None:
    trained = [each for each in examples(plain) if each.trained_on]
    queries = {query.number: query for query in read_records(Query, plain.queries)}
    renderer = FakeRenderer()
    task = reopen(plain).task
    with training_rows(plain, task, renderer) as rows:
        assert len(rows) == len(trained) > 20
        for place, example in enumerate(trained):
            prompt = task.student_prompt(queries[example.number])
            prompt_ids, target = (
                list(renderer.prompt_ids(prompt)),
                list(renderer.target_ids(prompt, str(example.target))),
            )
            assert list(rows[place].ids) == (prompt_ids + target)[:-1]
            assert list(rows[place].targets)[-len(target) :] == target
            assert list(rows[place].weights) == [0.0] * (len(prompt_ids) - 1) + [1.0] * len(target)
        batch = rows.batch([3, 1])
        assert [list(row.ids) for row in batch.rows] == [list(rows[3].ids), list(rows[1].ids)]
        assert sum(sum(row.weights) for row in batch.rows) == pytest.approx(1)


def test_a_run_without_an_example_to_train_on_is_refused(tmp_path: Path) -> None:
    rows = outcomes((f"{at}" for at in range(9)), lambda query: Outcome(query, None if query.number else "a", "eval"))
    run = build_run(tmp_path / "run", rows, until="generate")
    with (
        pytest.raises(TaskError, match="there is no example to train on; read the reasons in"),
        training_rows(run, reopen(run).task, FakeRenderer()),
    ):
        pass


def test_edited_responses_are_an_error(tmp_path: Path) -> None:
    run = made(tmp_path / "run")
    run.examples.unlink()
    path = run.responses(4).path
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps({**row, "response": "fruit"}) + "\n" for row in rows))
    with pytest.raises(RunError, match=r"responses.jsonl' was changed after it was complete"):
        _write(run, [])


def test_targets_that_the_student_can_not_give_are_rejected_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def target_ids(self: FakeRenderer, prompt: Prompt, target: str) -> list[int]:
        if target == "fruit":
            raise TargetError("rule", target, [])
        return [1] * (20 if target == "other" else 2)

    monkeypatch.setattr(FakeRenderer, "target_ids", target_ids)
    monkeypatch.setattr(FakeStudent, "context", 30, raising=False)
    monkeypatch.setattr(FakeRenderer, "prompt_ids", lambda self, prompt: [1] * 12)
    targets = ("animal", "fruit", "other")
    rows = outcomes((f"{at**9:x}" for at in range(9)), lambda query: Outcome(query, targets[query.number % 3]))
    run = build_run(tmp_path / "run", rows, until="generate")
    run.examples.unlink()
    _write(run, (placed(row.query) for row in rows))
    assert rejections(run) == {"not sayable by the student's tokenizer": 3, "longer than the student's context": 3}
    assert {example.target for example in examples(run)} == {"animal", None}


def test_an_answer_with_a_special_token_of_its_model_is_rejected_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeRenderer, "holds_special_tokens", lambda self, text: "<|tool|>" in text, raising=False)
    rows = outcomes(
        (f"{at**9:x}" for at in range(8)),
        lambda query: Outcome(query, responses=("animal",) if query.number % 2 else ("<|tool|>animal",)),
    )
    run = build_run(tmp_path / "run", rows, until="generate")
    run.examples.unlink()
    _write(run, (placed(row.query) for row in rows))
    assert rejections(run) == {"special tokens in the answer": 4}
