"""Nothing untyped reaches a row file, and a row that can't be read is named and can be asked for again."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pdistill.core import pipeline
from pdistill.core.answers.collect import Question
from pdistill.core.contract.prompts import Text
from pdistill.core.contract.queries import Query
from pdistill.core.contract.sampling import Completion, Key, Request
from pdistill.core.errors import BackendError, RunError
from pdistill.core.store.answerrow import AnswerRow
from pdistill.core.store.rowfile import AnswerFile
from tests.runs import fake_config

ROW = AnswerRow(1, "b", "a dog", "00", "animal", "stop", 3, 1).as_row()
BAD = [
    {"response": ["animal"]},
    {"response": None},
    {"finish": "STOP"},
    {"tokens": 1.5},
    {"number": True},
    {"reason": 4},
]


@pytest.mark.parametrize("change", BAD, ids=str)
def test_row_with_a_value_of_another_type_is_named(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "responses.jsonl.part"
    whole = {**ROW, "number": 0}
    path.write_text("".join(json.dumps(row) + "\n" for row in (whole, {**ROW, **change})))
    answers = AnswerFile(tmp_path / "responses.jsonl")
    for read in (lambda: answers.open(2), lambda: list(answers.answers())):
        with pytest.raises(
            RunError, match=r"jsonl.part, line 2: not a row \(.* is .*delete this line of responses.jsonl"
        ):
            read()


@pytest.mark.parametrize("text", [["animal"], None, 3])
def test_answer_of_another_type_is_refused_before_it_is_stored(text: Any) -> None:
    question = Question(Query("a dog", "q7", number=0), Request(Key(0), Text("a dog")))
    with pytest.raises(BackendError, match=re.escape(f"query 'q7' can't be stored: response is {text!r}")):
        question.row(Completion(text, "stop"))


def test_deleted_row_is_asked_for_again(tmp_path: Path) -> None:
    whole, damaged = (fake_config(tmp_path / name, tmp_path / name / "run") for name in ("whole", "damaged"))
    for config in (whole, damaged):
        pipeline.generate(config)
    run = Path(str(damaged.run_dir))
    lines = (run / "responses.jsonl").read_text().splitlines(keepends=True)
    lines[4] = json.dumps({**json.loads(lines[4]), "response": ["x"]}) + "\n"
    for name in ("responses.jsonl", "examples.jsonl"):
        (run / name).unlink()
    part = run / "responses.jsonl.part"
    part.write_text("".join(lines))
    with pytest.raises(RunError, match="line 5: not a row"):
        pipeline.generate(damaged)
    part.write_text("".join(lines[:4] + lines[5:]))
    pipeline.generate(damaged)
    assert (run / "responses.jsonl").read_bytes() == (Path(str(whole.run_dir)) / "responses.jsonl").read_bytes()
