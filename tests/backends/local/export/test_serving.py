"""The served student, queried over HTTP with the real `openai` client."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from pdistill.backends.local.export import serving
from pdistill.backends.local.export.event_stream import as_openai
from pdistill.backends.local.export.transformers_export import TransformersExport
from pdistill.core.contract.sampling import Sampling
from pdistill.core.delivery.export import export
from pdistill.core.errors import BackendError
from tests.backends.local_runs import CHAT_FRAME, LocalRun, run_student

RUNS = {"chat": ("qwen3", CHAT_FRAME), "text": ("gpt2", "{query}\tis")}
NAME = "kinds"
GREEDY = Sampling()


class Served:
    """A server in a thread of this process."""

    def __init__(
        self, folder: Path, grace: int = 1, sampling: Sampling = GREEDY, *, ignore_system: bool = False
    ) -> None:
        loaded = TransformersExport(folder, "cpu")
        self.student = serving.StudentHandler(loaded, NAME, sampling, ignore_system=ignore_system)
        self.listening = serving._listen("127.0.0.1", 0)
        self.server = serving.make_server(self.student, grace)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listening]})
        self.thread.start()
        address = f"http://127.0.0.1:{self.listening.getsockname()[1]}/v1"
        self.client = openai.OpenAI(base_url=address, api_key="none", max_retries=0)

    def ask(self, query: str, **settings: Any) -> Any:
        messages: Any = [{"role": "user", "content": query}]
        return self.client.chat.completions.create(**{"model": NAME, "messages": messages, **settings})

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join()
        self.client.close()
        self.listening.close()


@pytest.fixture(scope="module", params=RUNS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LocalRun:
    return run_student(tmp_path_factory.mktemp("serving"), *RUNS[request.param])


@pytest.fixture(scope="module")
def folder(run: LocalRun) -> Path:
    export(run.directory, run.directory.path / "merged", merge=True)
    return run.directory.path / "merged"


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Served]:
    server = Served(folder)
    yield server
    server.stop()


def expected(run: LocalRun) -> dict[str, str]:
    """Return the answers as they are compared: without the space that a text model begins them with."""
    return {query: answer.lstrip() for query, answer in run.answers.items()}


def test_every_answer_is_the_recorded_one(served: Served, run: LocalRun) -> None:
    answers = {query: served.ask(query).choices[0] for query in run.answers}
    assert {query: answer.message.content for query, answer in answers.items()} == expected(run)
    assert {answer.finish_reason for answer in answers.values()} == {"stop"}


def test_several_at_once_are_streamed(served: Served, run: LocalRun) -> None:
    def streamed(query: str) -> str:
        parts = [chunk.choices[0].delta.content for chunk in served.ask(query, stream=True)]
        return "".join(part or "" for part in parts)

    with ThreadPoolExecutor(6) as pool:
        assert dict(zip(run.answers, pool.map(streamed, run.answers), strict=True)) == expected(run)


def test_the_one_model_is_listed(served: Served) -> None:
    assert [model.id for model in served.client.models.list()] == [NAME]


def test_tokens_are_counted_and_the_answer_stops_at_the_limit(served: Served, run: LocalRun) -> None:
    query = next(query for query, answer in run.answers.items() if answer)
    answer = served.ask(query, max_completion_tokens=1)
    assert (answer.choices[0].finish_reason, answer.usage.completion_tokens) == ("length", 1)
    assert answer.usage.prompt_tokens == len(served.student.export.prompt_ids(query))


def said(served: Served, query: str, stream: bool, **settings: Any) -> tuple[str, str]:
    """Return an answer and why it ended."""
    answer = served.ask(query, stream=stream, **settings)
    if not stream:
        return answer.choices[0].message.content, answer.choices[0].finish_reason
    chunks = [chunk.choices[0] for chunk in answer]
    return "".join(chunk.delta.content or "" for chunk in chunks), chunks[-1].finish_reason


@pytest.mark.parametrize("stream", [True, False])
def test_stop_sequence_of_the_request_ends_the_answer(served: Served, run: LocalRun, stream: bool) -> None:
    query, answer = next((query, answer) for query, answer in expected(run).items() if len(answer) > 1)
    last = answer[-1]
    assert said(served, query, stream, stop=last) == (answer[: answer.index(last)], "stop")
    assert said(served, query, stream, stop=["nowhere", last]) == (answer[: answer.index(last)], "stop")
    assert said(served, query, stream, stop=["nowhere", f"{last}more"]) == (answer, "stop")


@pytest.mark.parametrize("run", ["text"], indirect=True)
@pytest.mark.parametrize("stream", [True, False])
def test_the_stop_sequences_of_the_run_end_every_answer(folder: Path, run: LocalRun, stream: bool) -> None:
    query, answer = next((query, answer) for query, answer in expected(run).items() if len(answer) > 1)
    last = answer[-1]
    stopping = Served(folder, sampling=Sampling(stop=(last,)))
    try:
        assert said(stopping, query, stream) == (answer[: answer.index(last)], "stop")
    finally:
        stopping.stop()


@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_that_ends_with_its_last_token_was_not_cut_off(served: Served, run: LocalRun, stream: bool) -> None:
    counts = {query: served.ask(query).usage.completion_tokens for query in run.answers}
    query, tokens = next((query, tokens) for query, tokens in counts.items() if tokens > 1)
    assert said(served, query, stream, max_tokens=tokens) == (expected(run)[query], "stop")
    assert said(served, query, stream, max_tokens=tokens - 1)[1] == "length"


@pytest.mark.parametrize(
    ("changes", "status", "says"),
    [
        ({"model": "other"}, 404, "there is no model 'other'; there is 'kinds'"),
        ({"messages": []}, 400, "at least one message"),
        ({"messages": ["x"]}, 400, "an object with a role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, 400, "must be text"),
        ({"messages": [{"role": "user", "content": "x y " * 200}]}, 400, "exceed the model's context of 256"),
        ({"messages": [{"role": "user", "content": "x" * (1 << 21)}]}, 413, "larger than 1,048,576 bytes"),
        ({"n": 2}, 400, "n must be 1"),
        ({"stream": "yes"}, 400, "true or false"),
        ({"stop": ["a", ""]}, 400, "a list of at most 4 strings, none of them empty"),
        ({"stop": list("abcde")}, 400, "at most 4 strings"),
        ({"max_tokens": 0}, 400, "a positive integer, not 0"),
        ({"max_tokens": 10**30}, 400, "a positive integer, not 1e\\+30"),
        ({"model": "m" * 900}, 404, r"there is no model 'm{59}\.\.\.; there is 'kinds'"),
        ({"extra_body": {"stream_options": 1}}, 400, "stream_options must be an object"),
        ({"extra_body": {"chat_template_kwargs": {}}}, 400, "unknown field 'chat_template_kwargs'"),
    ],
)
def test_invalid_requests_are_refused(served: Served, changes: Any, status: int, says: str) -> None:
    with pytest.raises(openai.APIStatusError, match=says) as refused:
        served.ask("x", **changes)
    assert refused.value.status_code == status
    assert served.ask("still there").choices[0].finish_reason == "stop"


def test_invalid_json_and_unknown_paths(served: Served) -> None:
    for path, status in (("chat/completions", 400), ("completions", 404)):
        with pytest.raises(openai.APIStatusError) as refused:
            served.client.post(f"/{path}", body=None, cast_to=object, options={"headers": {"x": "y"}})
        assert refused.value.status_code == status


@pytest.mark.parametrize("run", ["text"], indirect=True)
@pytest.mark.parametrize("body", [b'{"\\ud800": 1}', b'{"messages": [{"role": "\\udfff"}]}', b"[" * 100_000, b"NaN"])
def test_bytes_that_are_not_json_are_refused(served: Served, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    with httpx2.Client() as client:
        told = client.post(f"{served.client.base_url}chat/completions", content=body, headers=headers)
    assert (told.status_code, told.json()["error"]["message"]) == (400, "the request is not JSON")


@pytest.mark.parametrize("run", ["text"], indirect=True)
@pytest.mark.parametrize("with_usage", [False, True])
def test_a_stream_ends_as_openais_does(served: Served, run: LocalRun, with_usage: bool) -> None:
    query = next(query for query, answer in expected(run).items() if answer)
    body = {"model": NAME, "messages": [{"role": "user", "content": query}], "stream": True}
    if with_usage:
        body["stream_options"] = {"include_usage": True}
    with httpx2.Client() as client:
        told = client.post(f"{served.client.base_url}chat/completions", json=body).text
    *events, last, nothing = told.split("\n\n")
    assert (last, nothing) == ("data: [DONE]", "")
    chunks = [json.loads(event.removeprefix("data: ")) for event in events]
    usage = [chunk["usage"] for chunk in chunks if "usage" in chunk]
    if with_usage:
        assert chunks.pop()["choices"] == []
        counted = served.ask(query).usage
        assert usage == [counted.model_dump(exclude_none=True)]
    else:
        assert not usage
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == expected(run)[query]


def test_an_error_ends_a_stream_with_its_message() -> None:
    async def handler() -> AsyncIterator[str]:
        yield 'data: {"choices": []}\n\ndata: {"error": "no "room""}\n\n'

    async def events() -> list[str]:
        return [event async for event in as_openai(handler(), with_usage=True)]

    first, failure = asyncio.run(events())
    assert first == 'data: {"choices": []}\n\n'
    assert json.loads(failure.removeprefix("data: "))["error"]["message"] == 'no "room"'


@pytest.mark.parametrize("run", ["text"], indirect=True)
def test_system_messages_are_refused_or_ignored(folder: Path, served: Served, run: LocalRun) -> None:
    query, answer = next(iter(expected(run).items()))
    system: Any = [{"role": "system", "content": "Be brief."}, {"role": "developer", "content": "Be kind."}]
    messages: Any = [*system, {"role": "user", "content": query}]
    with pytest.raises(
        openai.BadRequestError, match="without a system message; leave it out, or start .* --ignore-system"
    ):
        served.ask("", messages=messages)
    ignoring = Served(folder, ignore_system=True)
    try:
        assert ignoring.ask("", messages=messages).choices[0].message.content == answer
        with pytest.raises(openai.BadRequestError, match="at least one message"):
            ignoring.ask("", messages=system)
    finally:
        ignoring.stop()


def test_parts_of_text_are_one_message(served: Served, run: LocalRun) -> None:
    query = next(iter(run.answers))
    parts = [{"type": "text", "text": query[:2]}, {"type": "text", "text": query[2:]}]
    answer = served.ask("", messages=[{"role": "user", "content": parts}], temperature=1.5, seed=3)
    assert answer.choices[0].message.content == expected(run)[query]


def slowed(folder: Path, seconds: float, tokens: int, grace: int) -> Served:
    """Return a server whose answers have so many tokens at least and take their time for each."""
    served = Served(folder, grace)
    served.student.export.settings.min_new_tokens = tokens
    served.student.export.model.register_forward_pre_hook(lambda *_: time.sleep(seconds))
    return served


@pytest.mark.parametrize("run", ["text"], indirect=True)
@pytest.mark.parametrize("stream", [True, False])
def test_shut_down_in_the_middle_ends_the_answer(folder: Path, stream: bool) -> None:
    served = slowed(folder, 0.2, tokens=100, grace=1)
    begun = threading.Event()
    served.student.export.model.register_forward_hook(lambda *_: begun.set())
    with ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(lambda: list(served.ask("x", max_tokens=100, stream=stream)))
        assert begun.wait(60)
        served.stop()
        with pytest.raises((openai.APIError, httpx2.HTTPError)):
            under_way.result(60)


@pytest.mark.parametrize("run", ["text"], indirect=True)
def test_an_answer_under_way_is_finished_before_the_server_ends(folder: Path) -> None:
    served = slowed(folder, 0.02, tokens=20, grace=60)
    parts = iter(served.ask("x", max_tokens=20, stream=True))
    next(parts)
    served.server.should_exit = True
    assert list(parts)[-1].choices[0].finish_reason == "length"
    served.stop()


@pytest.mark.parametrize("run", ["text"], indirect=True)
def test_address_in_use(folder: Path, served: Served) -> None:
    port = served.listening.getsockname()[1]
    with pytest.raises(BackendError, match=f"can't listen on 127.0.0.1, port {port}: .* use another --port"):
        serving.serve(served.student.export, NAME, GREEDY, "127.0.0.1", port, print)


@pytest.mark.parametrize("run", ["text"], indirect=True)
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example:80"}, 421),
        ({"Host": "127.0.0.1.evil.example"}, 421),
        ({"Host": "[x"}, 421),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/json; charset=utf-8"}, 200),
        ({"Host": "localhost:1"}, 200),
        ({"Host": "[::1]:1"}, 200),
    ],
)
def test_a_page_of_another_site_gets_no_answer(served: Served, headers: dict[str, str], status: int) -> None:
    url = f"{served.client.base_url}chat/completions"
    body = {"model": NAME, "messages": [{"role": "user", "content": "x"}]}
    with httpx2.Client() as client:
        told = client.post(url, content=json.dumps(body), headers={"Content-Type": "application/json", **headers})
        listed = client.get(f"{served.client.base_url}models", headers=headers)
    assert told.status_code == status, told.text
    if status == 421:
        assert "--allow-host" in told.text
    assert listed.status_code == (421 if status == 421 else 200)


@pytest.mark.parametrize("run", ["text"], indirect=True)
def test_values_that_ask_for_nothing_are_taken(served: Served, run: LocalRun) -> None:
    query, answer = next(iter(expected(run).items()))
    extra: Any = {"tools": [], "repetition_penalty": 1}
    neutral: Any = {
        "frequency_penalty": 0,
        "presence_penalty": 0.0,
        "logprobs": False,
        "response_format": {"type": "text"},
    }
    assert served.ask(query, **neutral, extra_body=extra).choices[0].message.content == answer
    with pytest.raises(openai.BadRequestError, match="unknown field 'frequency_penalty'"):
        served.ask(query, frequency_penalty=1)


@pytest.mark.parametrize("run", ["text"], indirect=True)
def test_the_one_model_has_a_page(served: Served) -> None:
    assert served.client.models.retrieve(NAME).id == NAME
    with pytest.raises(openai.NotFoundError, match=f"there is '{NAME}'"):
        served.client.models.retrieve("other")


@pytest.mark.parametrize("run", ["text"], indirect=True)
def test_a_part_without_a_text_is_refused(served: Served) -> None:
    messages: Any = [{"role": "user", "content": [{"type": "text", "text": None}]}]
    with pytest.raises(openai.BadRequestError, match="content must be text"):
        served.ask("", messages=messages)


@pytest.mark.parametrize("run", ["text"], indirect=True)
def test_a_body_that_does_not_arrive_is_given_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "READ_SECONDS", 0.2)
    port = served.listening.getsockname()[1]
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(head)
        assert b"408" in connection.recv(1000).split(b"\r\n")[0]
