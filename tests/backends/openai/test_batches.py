"""The batch API gives the same rows as single requests, without sending a request twice or losing one."""

import time
from pathlib import Path
from typing import Any

import pytest

from pdistill.backends.openai import batches
from pdistill.core import pipeline
from pdistill.core.errors import BackendError, ContextError, RefusedError
from tests.backends.openai.runs import QUERIES, rows, small_config
from tests.backends.openai.toy import Toy, refusal
from tests.runs import INJECTIONS

BATCH = {"teacher.batch": True}


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MAX_PAUSE_SECONDS", 0.0)


def answered(folder: Path, **changes: Any) -> list[dict[str, Any]]:
    pipeline.generate(small_config(folder, **{"backend_options": BATCH, **changes}))
    return rows(folder)


def names(toy: Toy) -> list[str]:
    """The `custom_id` of every request that was sent in a batch."""
    return [line["custom_id"] for batch in toy.batches.requests() for line in batch]


@pytest.mark.parametrize("changes", [{}, {"temperature": 1.0, "samples": 3}, {"format": "text"}], ids=str)
def test_batch_api_gives_the_same_rows_as_single_requests(toy: Toy, tmp_path: Path, changes: dict[str, Any]) -> None:
    if "format" in changes:
        changes = {**changes, "prompt": _text_prompt(tmp_path)}
    whole = answered(tmp_path / "whole", **changes, backend_options={})
    assert answered(tmp_path / "batched", **changes) == whole
    assert len(set(names(toy))) == len(names(toy)) >= len(whole)


def _text_prompt(folder: Path) -> Path:
    path = folder / "text.txt"
    path.write_text("Animals in {query}:", "utf-8")
    return path


def test_interrupted_run_collects_the_batch_it_submitted(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(_: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as left:
        left.setattr(time, "sleep", leave)
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                answered(tmp_path)
    assert len(toy.batches.made) == 1
    assert len(answered(tmp_path)) == QUERIES
    assert len(set(names(toy))) == len(names(toy)) == QUERIES + INJECTIONS


def test_answers_of_an_earlier_batch_are_reused(toy: Toy, tmp_path: Path) -> None:
    first = answered(tmp_path / "first")
    sent = len(toy.batches.made)
    assert answered(tmp_path / "second") == first
    assert len(toy.batches.made) == sent


def test_expired_and_failed_requests_are_sent_again(toy: Toy, tmp_path: Path) -> None:
    toy.batches.lost = {0, 1}
    busy = {"left": 3}

    def reply(body: dict[str, Any]) -> Any:
        busy["left"] -= 1
        return (503, {"error": {"message": "busy"}}) if busy["left"] >= 0 and "messages" in body else None

    toy.reply = reply
    taken = toy.batches._finish

    def finish(batch: dict[str, Any]) -> None:
        taken(batch)
        toy.batches.lost = set()

    toy.batches._finish = finish  # type: ignore[method-assign]
    assert len(answered(tmp_path)) == QUERIES
    assert len(names(toy)) == QUERIES + INJECTIONS + 2 + 3


def test_requests_without_an_answer_stop_the_run(toy: Toy, tmp_path: Path) -> None:
    toy.batches.lost = {0}
    with pytest.raises(BackendError, match="got no answer in .* everything done so far is saved"):
        answered(tmp_path)
    sent = len(toy.batches.made)
    toy.batches.lost = set()
    assert len(answered(tmp_path)) == QUERIES
    assert len(toy.batches.requests()[sent]) < QUERIES


def test_unsupported_field_is_left_out_of_the_next_batch(toy: Toy, tmp_path: Path) -> None:
    def reply(body: dict[str, Any]) -> Any:
        if "max_tokens" not in body:
            body["max_tokens"] = body["max_completion_tokens"]
            return None
        said = (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        )
        return refusal(400, said, param="max_tokens", code="unsupported_parameter")

    toy.reply = reply
    assert len(answered(tmp_path)) == QUERIES


@pytest.mark.parametrize(
    ("told", "expected", "kind"),
    [
        (refusal(400, "maximum context length is 10 tokens"), "does not fit", ContextError),
        (refusal(400, "temperature is not a number"), "refuses all 8 queries so far, such as '", RefusedError),
    ],
)
def test_refused_requests_are_errors(toy: Toy, tmp_path: Path, told: Any, expected: str, kind: type[Exception]) -> None:
    toy.reply = lambda body: told
    with pytest.raises(kind, match=expected):
        answered(tmp_path)


def test_filtered_query_is_rejected_and_others_are_answered(toy: Toy, tmp_path: Path) -> None:
    toy.reply = lambda body: refusal(400, "filtered", code="content_filter") if "3" in str(body["messages"]) else None
    found = [row["finish"] for row in answered(tmp_path)]
    assert {"stop", "error"} <= set(found)
    assert len(found) == QUERIES


def test_rejected_batch_reports_the_reason(toy: Toy, tmp_path: Path) -> None:
    toy.batches.invalid = "the model can not be used with the batch API"
    with pytest.raises(BackendError, match=r"rejected the batch \(the model can not be used.*remove -B teacher.batch"):
        answered(tmp_path)


def test_service_without_batch_api_is_an_error(toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toy.batches, "got", lambda path: (404, {"detail": "Not Found"}) if "batches" in path else None)
    with pytest.raises(BackendError, match="does it support the batch API"):
        answered(tmp_path)
