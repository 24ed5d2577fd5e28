"""Draws answers by the service's batch API, which takes a file of requests and answers within a day, at a lower price."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from types import SimpleNamespace
from typing import Any

import httpx
import openai

from pdistill.backends.openai import OpenAIOptions
from pdistill.backends.openai.connection import Connection
from pdistill.backends.openai.failures import detail, filtered, too_long
from pdistill.backends.openai.messages import as_chat, asked, cut, read
from pdistill.backends.openai.parameters import Parameters
from pdistill.core.contract.prompts import prompt_hash
from pdistill.core.contract.sampling import Completion, Key, Request, Sampling
from pdistill.core.errors import BackendError, ContextError

MOST_REQUESTS, MOST_BYTES = 50_000, 100 << 20
"""Requests and bytes of one batch; OpenAI takes 50,000 and 200 MB."""
ROUNDS = 4
"""Batches in which a request may go without an answer before the run stops."""
LONGEST_PAUSE = 60.0
"""Seconds between two looks at a batch, at the most; the first is after one second, each pause twice as long."""
RUNNING = ("validating", "in_progress", "finalizing", "cancelling")
ENDPOINTS = {True: "/v1/chat/completions", False: "/v1/completions"}
MADE_BY = "pdistill"

Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of a batch: what was asked for, how the service is asked, and the name that its answer comes back under."""

    request: Request
    chat: bool
    content: Mapping[str, Any]
    name: str


class BatchSampler:
    """Draws answers from one model by batches.

    Nothing about a batch is stored here. A request's name in it says what is asked, so that a run that goes on finds its
    answers in the batches that the service lists, whether they have ended or not.

    Args:
        connection: the open connection.
        model: its name on the service.
        options: the API, and what more a request holds.
    """

    def __init__(self, connection: Connection, model: str, options: OpenAIOptions) -> None:
        self.chunk: int | None = None
        self._connection = connection
        self._model = model
        self._always_chat = options.api == "chat"
        self._extra = dict(options.more())
        self._parameters = {chat: Parameters(chat) for chat in (True, False)}

    def generate(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Key, Completion]]:
        """Yield an answer for every request, once the batch that it is in has ended.

        Raises:
            ContextError: a request does not fit the model's context.
            BackendError: the service refuses or fails.
        """
        pulled = iter(requests)
        while share := self._share(pulled, sampling):
            yield from self._answers(share, sampling)

    def _share(self, requests: Iterator[Request], sampling: Sampling) -> dict[str, Asked]:
        """Return the requests of one batch, by name."""
        share: dict[str, Asked] = {}
        size = 0
        for request in requests:
            one = self._asked(request, sampling)
            share[one.name] = one
            size += len(self._line(one, sampling))
            if len(share) == MOST_REQUESTS or size > MOST_BYTES:
                break
        return share

    def _asked(self, request: Request, sampling: Sampling) -> Asked:
        prompt = as_chat(request.prompt) if self._always_chat else request.prompt
        seed = request.seed if sampling.temperature > 0 else 0
        meant = [self._model, self._extra, prompt_hash(prompt), seed, repr(sampling)]
        digest = sha256(json.dumps(meant, sort_keys=True).encode()).hexdigest()[:24]
        chat, content = asked(prompt)
        return Asked(request, chat, content, f"{request.key.number}-{request.key.sample}-{digest}")

    def _line(self, one: Asked, sampling: Sampling) -> bytes:
        """Return a request as a line of a batch's file; a newline ends no answer there, it is cut here."""
        fields = self._parameters[one.chat].of(sampling, one.request.seed, list(sampling.stop))
        body = {"model": self._model, **one.content, **fields, **self._extra}
        line = {"custom_id": one.name, "method": "POST", "url": ENDPOINTS[one.chat], "body": body}
        return json.dumps(line).encode() + b"\n"

    def _answers(self, share: dict[str, Asked], sampling: Sampling) -> Iterator[tuple[Key, Completion]]:
        waiting = dict(share)
        for batch in self._earlier():
            if waiting and (batch.status not in RUNNING or self._holds(batch, waiting)):
                yield from self._taken(self._ended(batch), waiting, sampling)
        for _ in range(ROUNDS):
            for chat in sorted({one.chat for one in waiting.values()}):
                batch = self._submit([one for one in waiting.values() if one.chat == chat], sampling)
                yield from self._taken(self._ended(batch), waiting, sampling)
        if waiting:
            raise BackendError(
                f"{len(waiting):,} requests were in {ROUNDS} batches at {self._connection.url} without an answer; all that was "
                "done is kept, run the command again later"
            )

    def _taken(self, batch: Any, waiting: dict[str, Asked], sampling: Sampling) -> Iterator[tuple[Key, Completion]]:
        """Yield the answers of an ended batch to requests that wait for one, which they don't do any more."""
        for line in self._rows(batch.output_file_id, batch.error_file_id):
            one = waiting.get(line["custom_id"])
            completion = self._read(one, line, sampling) if one else None
            if one and completion is not None:
                del waiting[one.name]
                yield one.request.key, completion

    def _earlier(self) -> list[Any]:
        """Return the batches that were made of this model's requests before, the newest first."""

        async def listed() -> list[Any]:
            return [batch async for batch in self._connection.client.batches.list(limit=100)]

        own = self._metadata()
        return [batch for batch in self._call(listed()) if batch.status != "failed" and batch.metadata == own]

    def _holds(self, batch: Any, waiting: Mapping[str, Asked]) -> bool:
        return any(row["custom_id"] in waiting for row in self._rows(batch.input_file_id))

    def _metadata(self) -> dict[str, str]:
        return {"made_by": MADE_BY, "model": self._model[:512]}

    def _submit(self, share: list[Asked], sampling: Sampling) -> Any:
        """Return a new batch; where a cut connection made it twice, the other is called off."""
        content = b"".join(self._line(one, sampling) for one in share)
        client = self._connection.client
        endpoint: Any = ENDPOINTS[share[0].chat]

        async def sent() -> Any:
            file = await client.files.create(file=("pdistill.jsonl", content), purpose="batch")
            batch = await client.batches.create(
                input_file_id=file.id, endpoint=endpoint, completion_window="24h", metadata=self._metadata()
            )
            async for other in client.batches.list(limit=10):
                if other.input_file_id != file.id:
                    break
                if other.id != batch.id:
                    await client.batches.cancel(other.id)
            return batch

        batch = self._call(sent())
        self._connection.notices.say(
            "batch",
            f"batch {batch.id} with {len(share):,} requests was sent, to be answered within 24 hours; the same command, given "
            "again later, waits for it too",
        )
        return batch

    def _ended(self, batch: Any) -> Any:
        """Return the batch once it has ended."""
        for look in count():
            if batch.status not in RUNNING:
                break
            time.sleep(min(2.0**look, LONGEST_PAUSE))
            batch = self._call(self._connection.client.batches.retrieve(batch.id))
        if batch.status == "failed":
            said = next((error.message for error in getattr(batch.errors, "data", None) or []), "no reason given")
            raise BackendError(
                f"the service at {self._connection.url} refuses the batch ({detail(ValueError(said))}); mend that, or leave "
                "-B teacher.batch out"
            )
        return batch

    def _rows(self, *files: str | None) -> Iterator[Line]:
        """Yield the lines of files on the service; those that it has thrown away have none."""
        for file in files:
            if file is not None:
                try:
                    content = self._call(self._connection.client.files.content(file)).content
                except _GoneError:
                    continue
                yield from (json.loads(line) for line in content.splitlines() if line.strip())

    def _read(self, one: Asked, line: Line, sampling: Sampling) -> Completion | None:
        """Return the answer in a line; None where it is worth asking for again.

        Raises:
            ContextError: the request does not fit the model's context.
            BackendError: the service refuses it.
        """
        response = line.get("response") or {}
        status, body = response.get("status_code", 0), response.get("body") or {}
        if status == 200:
            answer = json.loads(json.dumps(body), object_hook=lambda found: SimpleNamespace(**found))
            return cut(read(answer, one.request.prompt, sampling, self._connection), sampling)
        if not 400 <= status < 500 or status in (408, 409, 429):
            return None
        error = _status_error(status, body)
        if filtered(error):
            self._connection.notices.say("filter", f"the service does not answer a query ({detail(error)})")
            return Completion("", "error")
        if too_long(error):
            raise ContextError.told(one.request.key.number, detail(error))
        every = Parameters(one.chat).of(sampling, one.request.seed, list(sampling.stop))
        if self._parameters[one.chat].learn(error, every):
            return None
        raise self._connection.explained(error)

    def _call(self, work: Any) -> Any:
        try:
            return self._connection.wait(work)
        except openai.NotFoundError as error:
            raise _GoneError(f"{self._connection.explained(error)}; does it have a batch API?") from None
        except (openai.OpenAIError, BackendError, ValueError) as error:
            raise self._connection.explained(error) from None


class _GoneError(BackendError):
    """What was asked for is not there (any more)."""


def _status_error(status: int, body: Mapping[str, Any]) -> openai.APIStatusError:
    """Return the error that the same answer would have been outside of a batch."""
    found = body.get("error", body)
    told: Any = httpx.Response(status, request=httpx.Request("POST", "http://batch"))
    return openai.APIStatusError(f"{found}", response=told, body=found)
