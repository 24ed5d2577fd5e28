"""What a service refuses for one query is a rejection in its words; what it refuses for all stops the run."""

import json
from pathlib import Path
from typing import Any

import pytest

from pdistill.core import pipeline
from pdistill.core.errors import BackendError, ContextError, RefusedError
from tests.backends.openai.runs import QUERIES, rows, small_config
from tests.backends.openai.toy import Body, Reply, Toy, refusal

PREFLIGHT = 8
"""Queries of a small job that the preflight asks; it decides itself what their rejection means."""
PATIENT = {"teacher.patience": 0.5}


def question(body: Body) -> str:
    return str(body["messages"][-1]["content"])


def refusing(reply: Reply, start: str = "cats") -> Any:
    return lambda body: reply if question(body).startswith(start) else None


def generated(folder: Path, **changes: Any) -> dict[str, str | None]:
    """The reason of every row of the teacher that is an error, by the first word of its query."""
    pipeline.generate(small_config(folder, **changes))
    found = rows(folder)
    assert len(found) == QUERIES
    return {row["query"].split()[0]: row["reason"] for row in found if row["finish"] == "error"}


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (refusal(400, "Content Exists Risk"), "400: Content Exists Risk"),
        (refusal(400, "Input data may be unsafe.", code="data_inspection_failed"), "400: Input data may be unsafe"),
        (refusal(403, "Your input was flagged", metadata={"reasons": ["x"]}), "403: Your input was flagged"),
        (refusal(413, "Payload Too Large"), "413: Payload Too Large"),
        (refusal(429, "Request too large for toy: Limit 10, Requested 12"), "429: Request too large for toy: Limit 10, Requested 12"),
        (refusal(451, "blocked"), "451: blocked"),
        ((400, {"error": "text alone"}), "400: text alone"),
        ((422, {"detail": [{"loc": ["body"], "msg": "too many characters"}]}), "422: too many characters"),
        ((400, [{"error": {"code": 400, "message": "listed", "status": "INVALID_ARGUMENT"}}]), "400: listed"),
        ((200, {"error": {"message": "flagged", "code": 403}}), "403: flagged"),
        ((200, {"choices": None, "error": None, "id": "x"}), "the response has no choices"),
        ((200, {"choices": None, "base_resp": {"status_code": 1026, "status_msg": "sensitive"}}), "sensitive"),
        ((500, {"error": "model runner has crashed"}), "500: model runner has crashed"),
    ],
    ids=str,
)  # fmt: skip
def test_one_query_that_is_refused_is_rejected(toy: Toy, tmp_path: Path, reply: Any, reason: str) -> None:
    toy.reply = refusing(reply)
    found = generated(tmp_path, backend_options=PATIENT)
    assert set(found) == {"cats"}
    assert found["cats"] == reason
    rejected = [row["rejected"] for row in rows(tmp_path, "examples.jsonl") if row["rejected"]]
    assert rejected == ["the backend gave no answer"] * 5


def test_the_last_query_is_rejected_where_a_harmless_question_is_answered(toy: Toy, tmp_path: Path) -> None:
    config = small_config(tmp_path, backend_options={**PATIENT, "teacher.window": 1})
    assert isinstance(config.queries, Path)
    last = json.loads(config.queries.read_text().splitlines()[-1])["query"]
    toy.reply = refusing((500, {"error": "crashed"}), last)
    assert generated(tmp_path, backend_options=config.backend_options) == {last.split()[0]: "500: crashed"}
    assert "Hello" in map(question, toy.asked)


def test_the_key_is_not_blamed_once_it_has_worked(toy: Toy, tmp_path: Path) -> None:
    left = {"answers": 12}

    def reply(body: Body) -> Reply | None:
        left["answers"] -= 1
        return refusal(403, "forbidden") if left["answers"] < 0 else None

    toy.reply = reply
    with pytest.raises(BackendError, match=r"refuses the request now, after it has answered others \(403\): forbidden"):
        pipeline.generate(small_config(tmp_path, backend_options={"teacher.window": 4}))
    assert all('"finish":"stop"' in line for line in _part(tmp_path))


def test_the_key_is_blamed_where_nothing_succeeds(toy: Toy, tmp_path: Path) -> None:
    toy.reply = lambda body: refusal(403, "no access")
    with pytest.raises(BackendError, match=r"refuses the key \(403: no access\); set OPENAI_API_KEY"):
        pipeline.generate(small_config(tmp_path))


def test_too_many_refused_queries_stop_the_run_and_name_one(toy: Toy, tmp_path: Path) -> None:
    toy.reply = lambda body: None if question(body) == "Hello" else refusal(400, "Content Exists Risk")
    with pytest.raises(
        RefusedError, match=r"refuses all 10 queries so far, such as '\d+' \(400: Content Exists Risk\)"
    ):
        pipeline.generate(small_config(tmp_path, backend_options={"teacher.window": 1}))
    assert len(_part(tmp_path)) == PREFLIGHT


def test_more_than_half_refused_stop_the_run(toy: Toy, tmp_path: Path) -> None:
    few = ("apples", "Hello")
    toy.reply = lambda body: None if question(body).startswith(few) else refusal(400, "Content Exists Risk")
    with pytest.raises(RefusedError, match=r"refuses \d+ of \d+ queries, such as '\d+'"):
        pipeline.generate(small_config(tmp_path))


def test_only_queries_that_do_not_fit_are_a_context_error(toy: Toy, tmp_path: Path) -> None:
    toy.reply = lambda body: None if question(body) == "Hello" else refusal(400, "maximum context length is 3 tokens")
    with pytest.raises(ContextError, match=r"query '\d+' does not fit: maximum context length is 3 tokens"):
        pipeline.generate(small_config(tmp_path))


def _part(folder: Path) -> list[str]:
    path = folder / "run" / "responses.jsonl.part"
    return path.read_text().splitlines() if path.exists() else []
