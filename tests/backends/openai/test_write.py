"""`pdistill queries` with a hosted model: the requests sent, and that no answer is paid for twice."""

from pathlib import Path

import pytest

from pdistill.core.errors import BackendError
from pdistill.core.writing.job import write_queries
from tests.backends.openai.toy import KEY, MODEL, Body, Reply, Toy, refusal
from tests.writers import job, writer


def test_hosted_model_writes_queries_and_stored_answers_are_reused(toy: Toy, tmp_path: Path) -> None:
    barred = True

    def reply(body: Body) -> Reply | None:
        if "max_tokens" in body and body["max_tokens"] == 1:
            return None
        if barred and len(toy.asked) > 4:
            return refusal(401, "This key was taken back.")
        system, *_, last = body["messages"]
        choice = {
            "index": 0,
            "finish_reason": "stop",
            "message": {"content": writer(system["content"], last["content"])},
        }
        return 200, {"choices": [choice], "usage": {"prompt_tokens": 100, "completion_tokens": 50}}

    toy.reply = reply
    options = {"window": "1", "price_prompt": "1", "price_sampled": "2"}
    config = job(tmp_path, "openai", teacher=MODEL, backend_options=options, max_cost=1.0)
    with pytest.raises(BackendError):
        write_queries(config)
    stored = len((config.folder / "responses.jsonl.part").read_text().splitlines())
    assert stored > 0
    barred, before = False, len(toy.asked)
    made = write_queries(config)
    assert sum(made.written.values()) == len(config.output.read_text().splitlines()) == 60
    assert len(toy.asked) - before == made.answers - stored
    assert made.usd == pytest.approx(made.answers * (100 * 1 + 50 * 2) / 1e6)
    asked = [body for body in toy.asked if "messages" in body]
    assert {body["temperature"] for body in asked} == {1.0}
    assert len({body["seed"] for body in asked}) == made.answers
    assert not any(KEY in path.read_text() for path in config.folder.iterdir())
