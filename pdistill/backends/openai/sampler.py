"""Draws answers from a model behind an endpoint, a window of requests in flight."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from typing import Any

import openai

from pdistill.backends.openai import OpenAIOptions
from pdistill.backends.openai.connection import Connection
from pdistill.backends.openai.failures import detail, filtered, not_taken, too_long
from pdistill.backends.openai.parameters import Parameters
from pdistill.backends.remote.window import in_window
from pdistill.core.cost import prompt_tokens
from pdistill.core.errors import BackendError, ContextError
from pdistill.core.prompts import Message, Messages, Prompt
from pdistill.core.sampling import Completion, Finish, Key, Request, Sampling

NEWLINE = "\n"
ENDED = (None, "stop", "eos", "eos_token", "stop_sequence", "end_turn")
CUT_OFF = ("length", "max_tokens")


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
        if self._always_chat and not isinstance(prompt, Messages):
            prompt = Messages((Message("user", prompt.text),))
        stops = list(sampling.stop)
        ending = [NEWLINE] if sampling.first_line and not isinstance(prompt, Messages) else []
        draws = [await self._ask(prompt, sampling, request.seed, [*ending, *stops])]
        if ending and draws[0].finish == "stop" and not draws[0].text.strip():
            draws.append(await self._ask(prompt, sampling, request.seed, stops))
        drawn = draws[-1]
        text, cut = sampling.cut(drawn.text)
        finish: Finish = "stop" if cut and drawn.finish == "length" else drawn.finish
        return Completion(text, finish, sum(one.prompt_tokens for one in draws), sum(one.tokens for one in draws))

    async def _ask(self, prompt: Prompt, sampling: Sampling, seed: int, stops: list[str]) -> Completion:
        """Return an answer as the service gave it."""
        chat, asked = _asked(prompt)
        parameters = self._parameters[chat]
        while True:
            fields = parameters.of(sampling, seed, stops)
            try:
                answer = await self._connection.create(
                    chat, model=self._model, **asked, **fields, extra_body=self._extra or None
                )
            except openai.APIStatusError as error:
                if not parameters.learn(error, fields):
                    raise
            else:
                return self._read(answer, prompt, sampling)

    def _read(self, answer: Any, prompt: Prompt, sampling: Sampling) -> Completion:
        choices = getattr(answer, "choices", None)
        if not choices:
            said = getattr(answer, "error", None) or f"{answer}"
            raise BackendError(
                f"the service at {self._connection.url} gave no answer ({detail(ValueError(said))}); run the command again, "
                "all that was done is kept"
            )
        text, refused = _said(choices[0])
        reason = getattr(choices[0], "finish_reason", None)
        finish: Finish = "length" if reason in CUT_OFF else "stop" if reason in ENDED and not refused else "error"
        usage = getattr(answer, "usage", None)
        given, drawn = (getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens"))
        if given is None or drawn is None:
            self._connection.notices.say(
                "usage", "the service does not count tokens; counted is the most that they can be"
            )
        return Completion(
            text,
            finish,
            prompt_tokens(None, prompt) if given is None else int(given),
            sampling.max_tokens if drawn is None else int(drawn),
        )

    def _explained(self, error: openai.APIStatusError) -> BackendError:
        """Return an error in one line; names the flag where the model doesn't take a temperature or top_p."""
        name = not_taken(error, {"temperature": None, "top_p": None})
        if name is not None and self._connection.gate.failure is None:
            hint = "give --temperature 1: its answers are drawn" if name == "temperature" else "leave --top-p out"
            return BackendError(f"model '{self._model}' does not take this {name} ({detail(error)}); {hint}")
        return self._connection.explained(error)


def _asked(prompt: Prompt) -> tuple[bool, dict[str, Any]]:
    """Return whether a prompt is asked by chat completions, and the field that holds it."""
    if isinstance(prompt, Messages):
        said = [{"role": message.role, "content": _sendable(message.content)} for message in prompt.messages]
        return True, {"messages": said}
    return False, {"prompt": _sendable(prompt.text)}


def _sendable(text: str) -> str:
    return text.encode(errors="replace").decode()


def _said(choice: Any) -> tuple[str, bool]:
    """Return a choice's words, and whether they are a refusal; what the model thought is no part of them."""
    message = getattr(choice, "message", None)
    if message is None:
        return getattr(choice, "text", None) or "", False
    refusal = getattr(message, "refusal", None)
    return (refusal, True) if refusal else (getattr(message, "content", None) or "", False)
