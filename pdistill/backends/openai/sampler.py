"""Samples answers from a model behind an endpoint, with a bounded number of requests in flight."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import replace

import openai

from pdistill.backends.openai import OpenAIOptions
from pdistill.backends.openai.connection import Connection
from pdistill.backends.openai.failures import detail, is_filtered, is_too_long, unsupported_field
from pdistill.backends.openai.messages import as_chat, cut_at_stop_texts, parse_answer, request_fields
from pdistill.backends.openai.parameters import Parameters
from pdistill.backends.remote.window import in_window
from pdistill.core.contract.prompts import Messages, Prompt
from pdistill.core.contract.sampling import Completion, Key, Request, Sampling
from pdistill.core.errors import BackendError, ContextError

NEWLINE = "\n"


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

    def generate(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Key, Completion]]:
        """Yield an answer for every request, in the order in which they finish.

        Raises:
            ContextError: a request does not fit in the model's context; requests in flight are answered first.
            BackendError: the service refuses a request or fails.
        """

        def start(request: Request) -> "Future[Completion]":
            return self._connection.background.submit(self._answer(request, sampling))

        for request, completion in in_window(requests, start, self._window):
            yield request.key, completion

    async def _answer(self, request: Request, sampling: Sampling) -> Completion:
        try:
            return await self._draw(request, sampling)
        except openai.APIStatusError as error:
            if is_filtered(error):
                self._connection.notices.warn("filter", f"the service refused to answer a query ({detail(error)})")
                return Completion("", "error")
            if is_too_long(error):
                raise ContextError.told(request.key.number, detail(error)) from None
            raise self._to_backend_error(error) from None
        except (openai.OpenAIError, BackendError, ValueError) as error:
            raise self._connection.to_backend_error(error) from None

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
        while True:
            fields = parameters.fields(sampling, seed, stops)
            try:
                answer = await self._connection.create(
                    chat, model=self._model, **content, **fields, extra_body=self._extra or None
                )
            except openai.APIStatusError as error:
                if not parameters.learn(error, fields):
                    raise
            else:
                return parse_answer(answer, prompt, sampling, self._connection)

    def _to_backend_error(self, error: openai.APIStatusError) -> BackendError:
        """Return a one-line error, which names the option if the model does not support a temperature or top_p."""
        name = unsupported_field(error, {"temperature": None, "top_p": None})
        if name is not None and self._connection.sender.failure is None:
            hint = "use --temperature 1" if name == "temperature" else "remove --top-p"
            return BackendError(f"model '{self._model}' does not support this {name} ({detail(error)}); {hint}")
        return self._connection.to_backend_error(error)
