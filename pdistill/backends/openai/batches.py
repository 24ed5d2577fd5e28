"""Samples answers with the service's batch API, which takes a file of requests and answers within a day, at a lower price."""

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
from pdistill.backends.openai.failures import detail, may_belong_to_request
from pdistill.backends.openai.http import RETRIED
from pdistill.backends.openai.messages import as_chat, cut_at_stop_texts, parse_answer, request_fields
from pdistill.backends.openai.parameters import Parameters
from pdistill.backends.openai.refusals import NoChoicesError, Outcome, Refusals, refused
from pdistill.core.contract.prompts import prompt_hash
from pdistill.core.contract.sampling import Completion, Key, Request, Sampling
from pdistill.core.errors import BackendError

MAX_REQUESTS, MAX_BYTES = 50_000, 100 << 20
"""Limits of one batch; OpenAI accepts 50,000 requests and 200 MB."""
ROUNDS = 4
"""Number of batches in which a request may remain unanswered before the run stops."""
MAX_PAUSE_SECONDS = 60.0
"""Longest pause between two polls of a batch; the first pause is one second, and each is twice as long as the one before."""
ACTIVE_STATUSES = ("validating", "in_progress", "finalizing", "cancelling")
ENDPOINTS = {True: "/v1/chat/completions", False: "/v1/completions"}
MADE_BY = "pdistill"

Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """A request of a batch: the original request, what the service is sent, and the `custom_id` of its answer."""

    request: Request
    chat: bool
    content: Mapping[str, Any]
    name: str


class BatchSampler:
    """Samples answers from one model in batches.

    Nothing about a batch is stored on this machine. A request's `custom_id` is a digest of its content, so that a resumed
    run finds its answers in the batches that the service lists, whether or not these have ended.

    Args:
        connection: the open connection.
        model: the model's name on the service.
        options: the backend's options.
    """

    def __init__(self, connection: Connection, model: str, options: OpenAIOptions) -> None:
        self.chunk: int | None = None
        self._connection = connection
        self._model = model
        self._always_chat = options.api == "chat"
        self._extra = dict(options.extra_fields())
        self._parameters = {chat: Parameters(chat) for chat in (True, False)}
        self._left_out: dict[str, frozenset[str]] = {}
        self._refusals = Refusals(connection.url)

    def generate(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Key, Completion]]:
        """Yield an answer for every request, once its batch has ended.

        Raises:
            ContextError: none of the requests fits in the model's context.
            RefusedError: the service refuses most of the requests.
            BackendError: the service fails, or refuses the batch.
        """
        pulled = iter(requests)
        while share := self._next_batch(pulled, sampling):
            yield from self._answers(share, sampling)
        self._refusals.check_answered()

    def _next_batch(self, requests: Iterator[Request], sampling: Sampling) -> dict[str, BatchRequest]:
        """Return the requests of the next batch by `custom_id`; empty at the end."""
        share: dict[str, BatchRequest] = {}
        size = 0
        for request in requests:
            one = self._batch_request(request, sampling)
            share[one.name] = one
            size += len(self._line(one, sampling))
            if len(share) == MAX_REQUESTS or size > MAX_BYTES:
                break
        return share

    def _batch_request(self, request: Request, sampling: Sampling) -> BatchRequest:
        prompt = as_chat(request.prompt) if self._always_chat else request.prompt
        seed = request.seed if sampling.temperature > 0 else 0
        content_key = [self._model, self._extra, prompt_hash(prompt), seed, repr(sampling)]
        digest = sha256(json.dumps(content_key, sort_keys=True).encode()).hexdigest()[:24]
        chat, content = request_fields(prompt)
        return BatchRequest(request, chat, content, f"{request.key.number}-{request.key.sample}-{digest}")

    def _line(self, one: BatchRequest, sampling: Sampling) -> bytes:
        """Return a request as a line of the batch file; `stop_at_newline` is not sent, answers are cut at the newline here."""
        fields = self._fields(one, sampling)
        body = {"model": self._model, **one.content, **fields, **self._extra}
        line = {"custom_id": one.name, "method": "POST", "url": ENDPOINTS[one.chat], "body": body}
        return json.dumps(line).encode() + b"\n"

    def _fields(self, one: BatchRequest, sampling: Sampling) -> dict[str, Any]:
        return self._parameters[one.chat].fields(sampling, one.request.seed, list(sampling.stop), self._without(one))

    def _without(self, one: BatchRequest) -> frozenset[str]:
        """Return the fields that a request is sent without."""
        return self._left_out.get(one.name, frozenset()) | self._parameters[one.chat].left_out

    def _answers(self, share: dict[str, BatchRequest], sampling: Sampling) -> Iterator[tuple[Key, Completion]]:
        waiting = dict(share)
        for batch in self._earlier_batches():
            if waiting and (batch.status not in ACTIVE_STATUSES or self._holds(batch, waiting)):
                yield from self._collect(self._wait_for(batch), waiting, sampling)
        for _ in range(ROUNDS):
            for chat in sorted({one.chat for one in waiting.values()}):
                batch = self._submit([one for one in waiting.values() if one.chat == chat], sampling)
                yield from self._collect(self._wait_for(batch), waiting, sampling)
        if waiting:
            raise BackendError(
                f"{len(waiting):,} requests got no answer in {ROUNDS} batches at {self._connection.url}; everything done so far "
                "is saved, run the command again later"
            )

    def _collect(
        self, batch: Any, waiting: dict[str, BatchRequest], sampling: Sampling
    ) -> Iterator[tuple[Key, Completion]]:
        """Yield the answers of an ended batch to waiting requests, and remove these from `waiting`."""
        for line in self._file_lines(batch.output_file_id, batch.error_file_id):
            one = waiting.get(line["custom_id"])
            outcome = self._parse_line(one, line, sampling) if one else None
            if one and outcome is not None:
                del waiting[one.name]
                if outcome.refusal is None:
                    self._parameters[one.chat].left_out |= self._without(one)
                yield from self._refusals.passed(one.request.key, outcome)

    def _earlier_batches(self) -> list[Any]:
        """Return the batches that were submitted for this model before, newest first."""

        async def listed() -> list[Any]:
            return [batch async for batch in self._connection.client.batches.list(limit=100)]

        own = self._metadata()
        return [batch for batch in self._call(listed()) if batch.status != "failed" and batch.metadata == own]

    def _holds(self, batch: Any, waiting: Mapping[str, BatchRequest]) -> bool:
        return any(row["custom_id"] in waiting for row in self._file_lines(batch.input_file_id))

    def _metadata(self) -> dict[str, str]:
        return {"made_by": MADE_BY, "model": self._model[:512]}

    def _submit(self, share: list[BatchRequest], sampling: Sampling) -> Any:
        """Return a new batch; if a dropped connection caused a second one to be created, that one is cancelled."""
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
        self._connection.notices.warn(
            "batch",
            f"submitted batch {batch.id} with {len(share):,} requests, to be answered within 24 hours; you may stop and run the "
            "same command later to continue waiting for it",
        )
        return batch

    def _wait_for(self, batch: Any) -> Any:
        """Return the batch once it has ended."""
        for attempt in count():
            if batch.status not in ACTIVE_STATUSES:
                break
            time.sleep(min(2.0**attempt, MAX_PAUSE_SECONDS))
            batch = self._call(self._connection.client.batches.retrieve(batch.id))
        if batch.status == "failed":
            reason = next((error.message for error in getattr(batch.errors, "data", None) or []), "no reason given")
            raise BackendError(
                f"the service at {self._connection.url} rejected the batch ({detail(ValueError(reason))}); fix that, or "
                "remove -B teacher.batch"
            )
        return batch

    def _file_lines(self, *files: str | None) -> Iterator[Line]:
        """Yield the lines of files on the service; files that it has deleted are skipped."""
        for file in files:
            if file is not None:
                try:
                    content = self._call(self._connection.client.files.content(file)).content
                except _GoneError:
                    continue
                yield from (json.loads(line) for line in content.splitlines() if line.strip())

    def _parse_line(self, one: BatchRequest, line: Line, sampling: Sampling) -> Outcome | None:
        """Return the outcome in a line of an output file; None if the request should be sent again.

        Raises:
            BackendError: the service refuses the key, or the account has no credit.
        """
        response = line.get("response") or {}
        status, body = response.get("status_code", 0), response.get("body") or {}
        if status == 200:
            answer = json.loads(json.dumps(body), object_hook=lambda fields: SimpleNamespace(**fields))
            if getattr(answer, "error", None):
                return None
            try:
                completion = parse_answer(answer, one.request.prompt, sampling, self._connection)
            except NoChoicesError as error:
                return refused(error)
            return Outcome(cut_at_stop_texts(completion, sampling))
        if not 400 <= status < 500 or status in RETRIED:
            return None
        told = _status_error(status, body)
        name = self._parameters[one.chat].refused(told, self._fields(one, sampling))
        if name is not None:
            self._left_out[one.name] = self._without(one) | {name}
            return None
        if not may_belong_to_request(told):
            raise self._connection.to_backend_error(told)
        return refused(told)

    def _call(self, work: Any) -> Any:
        try:
            return self._connection.wait(work)
        except openai.NotFoundError as error:
            raise _GoneError(f"{self._connection.to_backend_error(error)}; does it support the batch API?") from None
        except (openai.OpenAIError, BackendError, ValueError) as error:
            raise self._connection.to_backend_error(error) from None


class _GoneError(BackendError):
    """A file, a batch or the batch API does not exist (any more)."""


def _status_error(status: int, body: Mapping[str, Any]) -> openai.APIStatusError:
    """Return the error that the client would have raised for this response outside of a batch."""
    details = body.get("error", body)
    response: Any = httpx.Response(status, request=httpx.Request("POST", "http://batch"))
    return openai.APIStatusError(f"{details}", response=response, body=details)
