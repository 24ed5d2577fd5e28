"""Samples answers from a model behind an endpoint, with a bounded number of requests in flight."""

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import replace

import httpx
import openai

from pdistill.backends.openai import OpenAIOptions
from pdistill.backends.openai.connection import Connection, given_up
from pdistill.backends.openai.failures import detail, may_belong_to_request, refused_fields
from pdistill.backends.openai.http import without_retries
from pdistill.backends.openai.messages import as_chat, cut_at_stop_texts, parse_answer, request_fields
from pdistill.backends.openai.parameters import NEUTRAL, Parameters
from pdistill.backends.openai.refusals import Life, NoChoicesError, Outcome, Refusal, Refusals, refused
from pdistill.backends.remote.window import in_window
from pdistill.core.contract.prompts import Messages, Prompt, Text
from pdistill.core.contract.sampling import Completion, Key, Request, Sampling
from pdistill.core.errors import BackendError

NEWLINE = "\n"
FORBIDDEN = 403
HARMLESS = Text("Hello")
"""The question that a service is asked to find out whether it refuses one query or all."""


class OpenAISampler:
    """Samples answers from one model.

    Args:
        connection: the open connection.
        model: the model's name on the service.
        options: the backend's options.
    """

    def __init__(self, connection: Connection, model: str, options: OpenAIOptions) -> None:
        self.chunk: int | None = None
        self._connection = connection
        self._model = model
        self._window = options.window
        self._always_chat = options.api == "chat"
        self._extra = dict(options.extra_fields())
        self._parameters = {chat: Parameters(chat) for chat in (True, False)}
        self._refusals = Refusals(connection.url)
        self._life = Life()

    def generate(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Key, Completion]]:
        """Yield an answer for every request, in the order in which they finish.

        Raises:
            ContextError: none of the requests fits in the model's context.
            RefusedError: the service refuses most of the requests.
            BackendError: the service fails, or refuses any request.
        """

        def start(request: Request) -> "Future[Outcome]":
            return self._connection.background.submit(self._answer(request, sampling))

        for request, outcome in in_window(requests, start, self._window):
            yield from self._refusals.passed(request.key, outcome)
        yield from self._refusals.held()

    async def _answer(self, request: Request, sampling: Sampling) -> Outcome:
        sent = time.monotonic()
        try:
            completion = await self._draw(request, sampling)
        except (openai.APIStatusError, NoChoicesError) as error:
            return await self._refused(request, sampling, error, sent)
        except (openai.OpenAIError, BackendError, ValueError) as error:
            raise self._connection.to_backend_error(error) from None
        self._life.sign()
        return Outcome(completion)

    async def _refused(self, request: Request, sampling: Sampling, error: Refusal, sent: float) -> Outcome:
        """Return the outcome of a request that was refused while the service answers others.

        Raises:
            BackendError: the service does not answer others either, or refuses the key.
        """
        if self._connection.sender.failure is not None or (
            isinstance(error, openai.APIStatusError) and not may_belong_to_request(error)
        ):
            raise self._to_backend_error(error, sampling)
        chat = self._always_chat or isinstance(request.prompt, Messages)
        asked = await self._life.confirmed(
            _proven_by_answers_since(error, sent), lambda: self._harmless(error, sampling, request.seed, chat=chat)
        )
        return refused(error, asked.prompt_tokens, asked.tokens) if asked else refused(error)

    async def _harmless(self, error: Refusal, sampling: Sampling, seed: int, *, chat: bool) -> Completion:
        """Return the answer to a harmless question with the same parameters, sent once if the refused one was retried.

        Raises:
            BackendError: it got none, so the refusal is not about the query.
        """
        failure = given_up(error)
        token = without_retries.set(failure is not None)
        prompt: Prompt = as_chat(HARMLESS) if chat else HARMLESS
        try:
            return await self._ask(prompt, sampling, seed, list(sampling.stop))
        except (openai.OpenAIError, BackendError, ValueError, httpx.TransportError):
            self._connection.sender.failure = self._connection.sender.failure or failure
            raise self._to_backend_error(error, sampling) from None
        finally:
            without_retries.reset(token)

    async def _draw(self, request: Request, sampling: Sampling) -> Completion:
        """Return the answer; if stopping at a newline gave an empty answer, it is sampled again without that stop sequence.

        The token counts are then the sum of both requests, as both are billed. No newline is sent to a chat model, which
        ends its answers itself.
        """
        prompt = request.prompt
        if self._always_chat:
            prompt = as_chat(prompt)
        stops = list(sampling.stop)
        newline = [NEWLINE] if sampling.stop_at_newline and not isinstance(prompt, Messages) else []
        draws = [await self._ask(prompt, sampling, request.seed, [*newline, *stops])]
        if newline and draws[0].finish == "stop" and not draws[0].text.strip():
            draws.append(await self._ask(prompt, sampling, request.seed, stops))
        last = cut_at_stop_texts(draws[-1], sampling)
        return replace(
            last, prompt_tokens=sum(one.prompt_tokens for one in draws), tokens=sum(one.tokens for one in draws)
        )

    async def _ask(self, prompt: Prompt, sampling: Sampling, seed: int, stops: list[str]) -> Completion:
        """Return the answer as the service returned it."""
        chat, content = request_fields(prompt)
        parameters = self._parameters[chat]
        left_out = parameters.left_out
        while True:
            fields = parameters.fields(sampling, seed, stops, left_out)
            try:
                answer = await self._connection.create(
                    chat, model=self._model, **content, **fields, extra_body=self._extra or None
                )
            except openai.APIStatusError as error:
                name = parameters.refused(error, fields)
                if name is None:
                    raise
                left_out |= {name}
            else:
                completion = parse_answer(answer, prompt, sampling, self._connection)
                parameters.left_out |= left_out
                return completion

    def _to_backend_error(self, error: Refusal, sampling: Sampling) -> BackendError:
        """Return a one-line error, which names the option if the model does not take its temperature or top_p."""
        if isinstance(error, NoChoicesError):
            return BackendError(
                f"the service at {self._connection.url} returned no answer ({detail(error)}); run the command again, everything "
                "done so far is saved"
            )
        values = {name: getattr(sampling, name) for name in NEUTRAL}
        named = [name for name in refused_fields(error, values) if values[name] != NEUTRAL[name]]
        if named and self._connection.sender.failure is None:
            both = len(named) == len(values)
            what = "both temperature and top_p" if both else f"this {named[0]}"
            hint = "remove --top-p" if both or named == ["top_p"] else "use --temperature 1"
            return BackendError(f"model '{self._model}' does not support {what} ({detail(error)}); {hint}")
        return self._connection.to_backend_error(error, answered=self._life.last is not None)


def _proven_by_answers_since(error: Refusal, sent: float) -> float:
    """Return the time since which an answer to another request proves that a refusal is about its own.

    A key can be withdrawn at any time, so after a 403 only what follows counts; a service can fail at any time, so where
    retries have not helped, it is the second half of them.
    """
    now = time.monotonic()
    if getattr(error, "status_code", None) == FORBIDDEN:
        return now
    return (sent + now) / 2 if given_up(error) is not None else sent
