"""Draws answers from a model behind an endpoint, a window of requests in flight."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import replace

import openai

from pdistill.backends.openai import OpenAIOptions
from pdistill.backends.openai.connection import Connection
from pdistill.backends.openai.failures import detail, filtered, not_taken, too_long
from pdistill.backends.openai.messages import as_chat, asked, cut, read
from pdistill.backends.openai.parameters import Parameters
from pdistill.backends.remote.window import in_window
from pdistill.core.contract.prompts import Messages, Prompt
from pdistill.core.contract.sampling import Completion, Key, Request, Sampling
from pdistill.core.errors import BackendError, ContextError

NEWLINE = "\n"


class OpenAISampler:
    """Draws answers from one model.

    Args:
        connection: the open connection.
        model: its name on the service.
        options: the window, the API, and what more a request holds.
    """

    def __init__(self, connection: Connection, model: str, options: OpenAIOptions) -> None:
        self.chunk: int | None = None
        self._connection = connection
        self._model = model
        self._window = options.window
        self._always_chat = options.api == "chat"
        self._extra = dict(options.more())
        self._parameters = {chat: Parameters(chat) for chat in (True, False)}

    def generate(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Key, Completion]]:
        """Yield an answer for every request, as they finish.

        Raises:
            ContextError: a request does not fit the model's context; those in flight are answered first.
            BackendError: the service refuses or fails.
        """

        def start(request: Request) -> "Future[Completion]":
            return self._connection.background.submit(self._answer(request, sampling))

        for request, completion in in_window(requests, start, self._window):
            yield request.key, completion

    async def _answer(self, request: Request, sampling: Sampling) -> Completion:
        try:
            return await self._drawn(request, sampling)
        except openai.APIStatusError as error:
            if filtered(error):
                self._connection.notices.say("filter", f"the service does not answer a query ({detail(error)})")
                return Completion("", "error")
            if too_long(error):
                raise ContextError.told(request.key.number, detail(error)) from None
            raise self._explained(error) from None
        except (openai.OpenAIError, BackendError, ValueError) as error:
            raise self._connection.explained(error) from None

    async def _drawn(self, request: Request, sampling: Sampling) -> Completion:
        """Return the answer; where a newline must not end an empty line, such an answer is drawn again without it.

        Its tokens are then those of both draws, which are both paid for. A chat model ends its answer by itself, so that no newline is sent.
        """
        prompt = request.prompt
        if self._always_chat:
            prompt = as_chat(prompt)
        stops = list(sampling.stop)
        ending = [NEWLINE] if sampling.stop_at_newline and not isinstance(prompt, Messages) else []
        draws = [await self._ask(prompt, sampling, request.seed, [*ending, *stops])]
        if ending and draws[0].finish == "stop" and not draws[0].text.strip():
            draws.append(await self._ask(prompt, sampling, request.seed, stops))
        last = cut(draws[-1], sampling)
        return replace(
            last, prompt_tokens=sum(one.prompt_tokens for one in draws), tokens=sum(one.tokens for one in draws)
        )

    async def _ask(self, prompt: Prompt, sampling: Sampling, seed: int, stops: list[str]) -> Completion:
        """Return an answer as the service gave it."""
        chat, content = asked(prompt)
        parameters = self._parameters[chat]
        while True:
            fields = parameters.of(sampling, seed, stops)
            try:
                answer = await self._connection.create(
                    chat, model=self._model, **content, **fields, extra_body=self._extra or None
                )
            except openai.APIStatusError as error:
                if not parameters.learn(error, fields):
                    raise
            else:
                return read(answer, prompt, sampling, self._connection)

    def _explained(self, error: openai.APIStatusError) -> BackendError:
        """Return an error in one line; names the flag where the model doesn't take a temperature or top_p."""
        name = not_taken(error, {"temperature": None, "top_p": None})
        if name is not None and self._connection.gate.failure is None:
            hint = "give --temperature 1: its answers are drawn" if name == "temperature" else "leave --top-p out"
            return BackendError(f"model '{self._model}' does not take this {name} ({detail(error)}); {hint}")
        return self._connection.explained(error)
