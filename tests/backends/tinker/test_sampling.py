"""Requests to sample as the service receives them, and what becomes of its answers."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pdistill.backends.tinker import TinkerOptions, create
from pdistill.backends.tinker import sampler as samplers
from pdistill.core import pipeline
from pdistill.core.contract.interfaces import Teacher
from pdistill.core.contract.prompts import Text, framed
from pdistill.core.contract.sampling import Completion, Key, Request, Sampling
from pdistill.core.errors import BackendError, ContextError
from pdistill.core.stages.preflight import LEAST_SAMPLE
from tests.backends.faults import Fault, at
from tests.backends.proxy import Proxy
from tests.backends.tinker.runs import QUERIES, small_config
from tests.backends.tinker.server import BUILTIN, MODEL, Server
from tests.runs import INJECTIONS

LINES = ("Guten Tag, wie geht es?", "Où est la gare ?", "The weather is fine")


def teacher(**options: Any) -> Teacher:
    return create(TinkerOptions(tokenizer=str(BUILTIN), **options)).teacher(MODEL)


def requests(format: str = "chat") -> list[Request]:
    made = []
    for number, line in enumerate(LINES):
        prompt = framed("{query}", line, "chat") if format == "chat" else Text(line)
        made.append(Request(Key(number), prompt, seed=(1 << 62) + number))
    return made


def ask(sampling: Sampling, format: str = "chat", **options: Any) -> list[Completion]:
    with teacher(**options).sampler() as sampler:
        found = dict(sampler.generate(requests(format), sampling))
    return [found[Key(number)] for number in range(len(LINES))]


def asked(proxy: Proxy) -> list[dict[str, Any]]:
    return [json.loads(seen.call.body)["sampling_params"] for seen in proxy.of_kind("sampling")]


def test_every_option_of_sampling_reaches_the_service(proxy: Callable[..., Proxy], tmp_path: Path) -> None:
    watched = proxy()
    config = small_config(
        tmp_path / "run", temperature=0.7, top_p=0.9, max_tokens=5, stop=("END",), seed=3, samples=2, limit=3
    )
    pipeline.generate(config)
    sent = asked(watched)
    assert len(sent) == 6 + INJECTIONS
    assert {(one["temperature"], one["top_p"], one["max_tokens"]) for one in sent} == {(0.7, 0.9, 5)}
    assert all(one["stop"][0] == "END" and len(one["stop"]) > 1 for one in sent), (
        "the model's own end is not among the stops"
    )
    assert len({one["seed"] for one in sent}) == 6 + INJECTIONS, "each draw has a seed of its own"


def test_seeds_fit_into_31_bits_and_depend_on_the_request(proxy: Callable[..., Proxy]) -> None:
    watched = proxy()
    ask(Sampling(max_tokens=3))
    ask(Sampling(max_tokens=3))
    seeds = [one["seed"] for one in asked(watched)]
    assert sorted(seeds) == [0, 0, 1, 1, 2, 2]


def test_without_stop_sequences_the_end_tokens_end_an_answer(proxy: Callable[..., Proxy]) -> None:
    watched = proxy()
    ask(Sampling(max_tokens=3))
    renderer = teacher().renderer()
    assert renderer is not None
    end = renderer.target_ids(requests()[0].prompt, "x")[-1]
    assert all(end in one["stop"] for one in asked(watched))


def test_the_address_is_an_option_and_a_variable(service: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    by_variable = ask(Sampling(max_tokens=3))
    monkeypatch.setenv("TINKER_BASE_URL", "http://127.0.0.1:1")
    assert ask(Sampling(max_tokens=3), base_url=service.url) == by_variable


def test_project_and_tags_reach_the_service_from_the_environment(
    proxy: Callable[..., Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINKER_PROJECT_ID", "proj-of-mine")
    monkeypatch.setenv("TINKER_TAGS", "night,langid")
    watched = proxy()
    with teacher().sampler():
        pass
    (opened,) = [json.loads(seen.call.body) for seen in watched.calls if seen.call.path.endswith("/create_session")]
    assert (opened["project_id"], sorted(opened["tags"])) == ("proj-of-mine", ["langid", "night"])
    assert opened["user_metadata"] == {"made_by": "pdistill"}


def test_the_first_line_ends_an_answer_and_an_empty_line_does_not(proxy: Callable[..., Proxy]) -> None:
    watched = proxy()
    found = ask(Sampling(max_tokens=4, stop_at_newline=True), format="text")
    assert all("\n" in one["stop"] for one in asked(watched)[: len(LINES)])
    again = asked(watched)[len(LINES) :]
    assert all("\n" not in one["stop"] for one in again), "only an empty line is sampled again, without that stop"
    by_model = [answer for answer in found if not answer.text and answer.tokens == 1]
    assert by_model, "the model ends none of these texts at once"
    assert len(again) <= len(LINES) - len(by_model), "an answer that the model ended at once was paid for twice"


def test_dropped_session_is_opened_again(proxy: Callable[..., Proxy], tmp_path: Path) -> None:
    watched = proxy(plan=at(Fault(status=404), sampling=(5,)))
    pipeline.generate(small_config(tmp_path / "run"))
    sessions = [seen for seen in watched.of_kind("opening") if seen.call.path.endswith("/create_sampling_session")]
    assert len(sessions) == 3, "one for the base, another when it was dropped, and one for the teacher"
    assert len(watched.of_kind("sampling")) == QUERIES + INJECTIONS + LEAST_SAMPLE + 1


def test_a_request_that_is_too_long_is_not_sent(proxy: Callable[..., Proxy]) -> None:
    watched = proxy()
    long = Request(Key(7), framed("{query}", "word " * 4000, "chat"))
    with teacher().sampler() as sampler:
        found: list[int] = []
        with pytest.raises(ContextError, match="does not fit"):
            found.extend(key.number for key, _ in sampler.generate([*requests(), long], Sampling(max_tokens=3)))
    assert sorted(found) == [0, 1, 2], "the answers in flight are kept"
    assert len(watched.of_kind("sampling")) == len(LINES)


def test_an_unpaid_bill_ends_in_one_line(proxy: Callable[..., Proxy], tmp_path: Path) -> None:
    watched = proxy(plan=lambda call: Fault(status=402) if call.kind == "sampling" else None)
    with pytest.raises(BackendError, match=r"an unpaid bill \(402\).*fix that, and run the command again"):
        ask(Sampling(max_tokens=3))
    assert len(watched.of_kind("sampling")) < 3 * len(LINES), "the client retries for an hour"


def test_an_answer_that_is_lost_repeatedly_is_paid_for_a_limited_number_of_times(
    proxy: Callable[..., Proxy], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(samplers, "FIRST_PAUSE_SECONDS", 0.01)
    watched = proxy(plan=lambda call: Fault(status=410) if call.kind == "retrieval" else None)
    with pytest.raises(BackendError, match="run the command again"):
        ask(Sampling(max_tokens=3), window=1)
    assert len(watched.of_kind("sampling")) == samplers.ATTEMPTS


def test_a_request_that_the_service_refuses_ends_in_one_line_and_is_sent_once(proxy: Callable[..., Proxy]) -> None:
    watched = proxy(plan=at(Fault(status=422), sampling=(0,)))
    with pytest.raises(BackendError, match=r"the Tinker service refuses the request \(422\)"):
        ask(Sampling(max_tokens=3), window=1)
    assert len(watched.of_kind("sampling")) == 1
