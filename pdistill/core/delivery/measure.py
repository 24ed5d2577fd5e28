"""Benchmarks the served student against the base with the prompt: time to first token and throughput."""

import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from pdistill.core.contract.exporter import ExportSpec
from pdistill.core.contract.interfaces import ADAPTER
from pdistill.core.contract.jsontext import JsonObject
from pdistill.core.contract.prompts import QUERY_FIELD, Message, Messages, Prompt, Text
from pdistill.core.contract.queries import Query
from pdistill.core.delivery.ask import trained_student
from pdistill.core.delivery.export import exporter_of
from pdistill.core.errors import BackendError
from pdistill.core.progress import Progress
from pdistill.core.store.heldout import HeldOut
from pdistill.core.store.rundir import RunDirectory

CLIENTS = 4
NAME = "measured"
BARE = Messages((Message("user", QUERY_FIELD),))

Body = list[dict[str, str]]


class _Answer(NamedTuple):
    first_token: float
    prompt_tokens: int
    tokens: int


def measure(run: RunDirectory, requests: int, progress: Progress) -> JsonObject:
    """Return the speed of the student and of the base with the prompt, each served in the same way, one after the other.

    Args:
        requests: number of held-out queries, all of one prompt; one more is sent first as a warm-up and not counted.

    Raises:
        RunError: the run has no trained student.
        BackendError: the student can't be exported or served.
    """
    trained = trained_student(run)
    exporter, task = exporter_of(trained), trained.task
    held = (query for query, _ in HeldOut(run))
    first = next(held)
    queries = [first, *islice((query for query in held if query.prompt == first.prompt), requests)]
    teacher = task.teacher_prompt(Query(QUERY_FIELD, prompt=first.prompt))
    sides: dict[str, tuple[bool, Prompt, list[Body]]] = {
        "student": (True, task.student_prompt(Query(QUERY_FIELD)), [_as_body(query.turns) for query in queries]),
        "base_prompted": (
            False,
            teacher if isinstance(teacher, Text) else BARE,
            [_messages(query, task.teacher_prompt(query)) for query in queries],
        ),
    }
    figures: JsonObject = {"requests": len(queries) - 1, "clients": CLIENTS}
    for side, (adapted, asked, bodies) in sides.items():
        with tempfile.TemporaryDirectory() as temporary:
            form = ExportSpec(asked, trained.sampling.max_tokens, merge=True)
            exporter.write_export(ADAPTER if adapted else None, form, Path(temporary))
            with _served(run, Path(temporary)) as address:
                figures[side] = _speed(address, bodies, side, progress)
    return figures


def _messages(query: Query, prompt: Prompt) -> Body:
    """Return the request of a client that sends the prompt: the chat messages; in text, the server's template has the prompt."""
    return _as_body((Message("user", query.text),) if isinstance(prompt, Text) else prompt.messages)


def _as_body(messages: Sequence[Message]) -> Body:
    return [message.as_row() for message in messages]


def _speed(address: str, bodies: Sequence[Body], side: str, progress: Progress) -> dict[str, float]:
    """Return the median seconds to the first token, one request at a time, and the requests per second of several clients."""
    progress.begin(side.replace("_", " "), 2 * len(bodies) - 2, 0, "requests")
    _ask(address, bodies[0])
    answers = []
    for body in bodies[1:]:
        answers.append(_ask(address, body))
        progress.advance()
    began = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        for _ in pool.map(lambda body: _ask(address, body), bodies[1:]):
            progress.advance()
    spent = time.monotonic() - began
    progress.end()
    return {
        "first_token_seconds": round(statistics.median(answer.first_token for answer in answers), 4),
        "requests_per_second": round(len(answers) / spent, 3),
        "prompt_tokens": round(statistics.mean(answer.prompt_tokens for answer in answers), 2),
        "answer_tokens": round(statistics.mean(answer.tokens for answer in answers), 2),
    }


def _ask(address: str, messages: Body) -> _Answer:
    """Return the measurements of one streamed answer.

    Raises:
        BackendError: the server rejects the request.
    """
    place = urlsplit(address)
    body = json.dumps({"model": NAME, "messages": messages, "stream": True, "stream_options": {"include_usage": True}})
    began = time.monotonic()
    with closing(HTTPConnection(place.hostname or "", place.port)) as connection:
        connection.request("POST", f"{place.path}/chat/completions", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status != 200:
            raise BackendError(f"the served model failed to answer: {response.read().decode(errors='replace')}")
        first: float | None = None
        usage: dict[str, int] = {}
        for line in response:
            data = line.partition(b"data: ")[2].strip()
            if data in (b"", b"[DONE]"):
                continue
            chunk = json.loads(data)
            if first is None and any(choice["delta"].get("content") for choice in chunk.get("choices", ())):
                first = time.monotonic() - began
            usage = chunk.get("usage") or usage
    waited = first if first is not None else time.monotonic() - began
    return _Answer(waited, usage["prompt_tokens"], usage["completion_tokens"])


@contextmanager
def _served(run: RunDirectory, folder: Path) -> Iterator[str]:
    """Yield the address of a server of the export in `folder`, in a separate process that ends with the block.

    Raises:
        BackendError: it does not start.
    """
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(run.path, folder, sending), daemon=True)
    process.start()
    sending.close()
    try:
        yield str(receiving.recv())
    except EOFError:
        raise BackendError("the server did not start; try pdistill serve to see why") from None
    finally:
        process.terminate()
        process.join()


def _serve(path: Path, folder: Path, sending: Any) -> None:
    trained = trained_student(RunDirectory(path))
    exporter_of(trained).serve_export(folder, NAME, trained.sampling, "127.0.0.1", 0, sending.send)
