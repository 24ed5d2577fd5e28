from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pdistill.core.contract.interfaces import TokenScores
from pdistill.core.contract.queries import Query
from pdistill.core.contract.sampling import Completion, Key
from pdistill.core.errors import RunError
from pdistill.core.store.answerrow import AnswerRow
from pdistill.core.store.rowfile import AnswerFile

PLAIN = AnswerRow(3, "c", "what?", "00ff", "that", "stop", 12, 2)
SCORES = TokenScores((-0.123456, -1.5), ((4, 5), (6, 7)), ((-0.1, -2.0), (-1.5, -1.75)))
OLD = {
    "number": 3,
    "id": "c",
    "query": "what?",
    "prompt": "00ff",
    "response": "that",
    "finish": "stop",
    "prompt_tokens": 12,
    "tokens": 2,
}
"""A row of version 0.1, which had no other keys."""


@pytest.mark.parametrize(
    ("answer", "more"),
    [
        (PLAIN, {}),
        (replace(PLAIN, sample=2), {"sample": 2}),
        (replace(PLAIN, reused=True), {"reused": True}),
        (
            replace(PLAIN, scores=SCORES),
            {
                "logprobs": [-0.123456, -1.5],
                "top_ids": [[4, 5], [6, 7]],
                "top_logprobs": [[-0.1, -2.0], [-1.5, -1.75]],
            },
        ),
    ],
    ids=["plain", "sample", "reused", "scores"],
)
def test_answers_come_back_from_their_rows(answer: AnswerRow, more: dict[str, Any], tmp_path: Path) -> None:
    assert answer.as_row() == {**OLD, **more}
    assert AnswerRow.from_row({**OLD, **more}) == answer
    answers = AnswerFile(tmp_path / "rows.jsonl", samples=3)
    with answers.open(12) as writer:
        writer.add([answer])
    assert list(answers.answers()) == [answer]


def test_log_probabilities_are_stored_with_six_digits() -> None:
    row = replace(PLAIN, scores=TokenScores((-0.12345678,), ((1,),), ((-0.98765432,),))).as_row()
    assert (row["logprobs"], row["top_logprobs"]) == ([-0.123457], [[-0.987654]])


def test_what_an_answer_is_found_by_and_what_the_model_said() -> None:
    answer = replace(PLAIN, sample=1)
    assert answer.key == Key(3, 1)
    assert answer.completion == Completion("that", "stop", 12, 2)


def test_a_reused_answer_belongs_to_the_query_that_it_is_reused_for() -> None:
    again = PLAIN.reused_for(Query("what?", "new", number=8))
    assert again == replace(PLAIN, number=8, id="new", reused=True)


@pytest.mark.parametrize(
    "damaged",
    [
        {key: value for key, value in OLD.items() if key != "tokens"},
        {**OLD, "more": 1},
        {**OLD, "logprobs": [0.0]},
        {**OLD, "logprobs": 1, "top_ids": [], "top_logprobs": []},
    ],
    ids=["missing key", "unknown key", "half of the scores", "scores that are none"],
)
def test_a_damaged_row_names_its_line(damaged: dict[str, Any], tmp_path: Path) -> None:
    answers = AnswerFile(tmp_path / "rows.jsonl")
    with answers.open(9) as writer:
        writer.add([replace(PLAIN, number=0)])
        writer.append([damaged])
    with pytest.raises(RunError, match=r"rows\.jsonl\.part, line 2: not a row.*; the file was edited or damaged"):
        list(answers.answers())
