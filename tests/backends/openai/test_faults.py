"""Faults cost only time: no row is lost, duplicated or changed."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pdistill.core import pipeline
from pdistill.core.errors import BackendError
from tests.backends.faults import BROKEN, CUT, HUNG, TOO_MANY, Fault, at, both
from tests.backends.openai.runs import QUERIES, small_config
from tests.backends.openai.toy import Toy, refusal
from tests.backends.proxy import Proxy
from tests.runs import INJECTIONS

MANY = (TOO_MANY, Fault(429, retry_after="0"), BROKEN, Fault(502), Fault(503), CUT, HUNG)
CHAT = "/v1/chat/completions"


@pytest.fixture
def proxy(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Proxy]]:
    """A factory for proxies in front of the server; the environment variable has the address of the last one."""
    with ExitStack() as stack:

        def make(**options: Any) -> Proxy:
            made = stack.enter_context(Proxy(toy.url, **options))
            monkeypatch.setenv("OPENAI_BASE_URL", f"{made.url}/v1")
            return made

        yield make


def test_faults_do_not_change_the_answers(proxy: Callable[..., Proxy], tmp_path: Path) -> None:
    proxy()
    pipeline.generate(small_config(tmp_path / "whole"))
    faulty = proxy(plan=both(*(at(fault, **{CHAT: range(number, QUERIES, 10)}) for number, fault in enumerate(MANY))))
    pipeline.generate(small_config(tmp_path / "faulty", backend_options={"teacher.timeout": 2.0}))
    for name in ("responses.jsonl", "examples.jsonl"):
        assert (tmp_path / "faulty/run" / name).read_bytes() == (tmp_path / "whole/run" / name).read_bytes()
    assert {seen.fault for seen in faulty.calls if seen.fault} == set(MANY)


def test_broken_service_is_given_up_and_the_run_can_be_resumed(proxy: Callable[..., Proxy], tmp_path: Path) -> None:
    broken = proxy(plan=lambda call: BROKEN if call.kind == CHAT and call.number >= 10 else None)
    options = {"teacher.patience": 1.0, "teacher.window": 4}
    with pytest.raises(BackendError, match=r"answers 500 Internal Server Error.*run the command again later"):
        pipeline.generate(small_config(tmp_path, backend_options=options))
    answered = (tmp_path / "run" / "responses.jsonl.part").read_text().splitlines()
    assert len(answered) == 10
    healed = proxy()
    assert healed is not broken
    pipeline.generate(small_config(tmp_path, backend_options=options))
    assert len(healed.of_kind(CHAT)) == QUERIES - 10 + INJECTIONS


def test_account_without_credit_is_not_retried(toy: Toy, tmp_path: Path) -> None:
    toy.reply = lambda body: refusal(429, "You exceeded your current quota", code="insufficient_quota")
    with pytest.raises(BackendError, match="has no credit or an unpaid bill .429: You exceeded your current quota"):
        pipeline.generate(small_config(tmp_path, backend_options={"teacher.window": 1}))
    assert len(toy.asked) == 1


def test_model_list_is_retried(proxy: Callable[..., Proxy], tmp_path: Path) -> None:
    watched = proxy(plan=at(Fault(503), **{"/v1/models": (1,)}))
    pipeline.generate(small_config(tmp_path))
    assert 503 in [seen.status for seen in watched.of_kind("/v1/models")]


@pytest.mark.parametrize(
    "reply",
    [
        (408, {"error": "timeout"}),
        (409, {"error": "conflict"}),
        (425, {"error": "too early"}),
        (200, {"error": {"message": "Provider returned error", "code": 502}}),
        (200, {"error": "overloaded"}),
        (200, {"choices": [{"error": {"message": "upstream", "code": 504}, "finish_reason": "error"}]}),
        (200, b'{"choices": [{"mess'),
        (200, b"<html><body>Bad gateway</body></html>"),
        (503, b"<html><head><title>503</title></head><body>Unavailable</body></html>"),
    ],
    ids=str,
)
def test_failure_that_passes_is_waited_out(toy: Toy, tmp_path: Path, reply: Any) -> None:
    pipeline.generate(small_config(tmp_path / "whole"))
    before = len(toy.asked)
    toy.reply = lambda body: reply if (len(toy.asked) - before) in (3, 9, 20) else None
    pipeline.generate(small_config(tmp_path / "faulty", backend_options={"teacher.window": 1}))
    for name in ("responses.jsonl", "examples.jsonl"):
        assert (tmp_path / "faulty/run" / name).read_bytes() == (tmp_path / "whole/run" / name).read_bytes()


def test_page_at_a_wrong_address_is_not_waited_for(toy: Toy, tmp_path: Path) -> None:
    toy.names, toy.reply = None, lambda body: (200, b"<html>Welcome</html>")
    with pytest.raises(BackendError, match="its API is not OpenAI-compatible"):
        pipeline.generate(small_config(tmp_path))
    assert len(toy.asked) == 1
