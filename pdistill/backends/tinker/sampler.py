"""Samples answers from a model that the service runs, with hundreds of requests in flight."""

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from tenacity import RetryCallState, stop_after_attempt, wait_random_exponential

from pdistill.backends.remote.background import Background, run_blocking
from pdistill.backends.remote.retry import retry
from pdistill.backends.remote.window import in_window
from pdistill.backends.rendering import TemplateRenderer
from pdistill.backends.tinker.connection import Connection
from pdistill.backends.tinker.failures import detail, to_backend_error, verdict
from pdistill.core.contract.batches import TokenIds
from pdistill.core.contract.interfaces import TokenScores
from pdistill.core.contract.prompts import Messages, Prompt
from pdistill.core.contract.sampling import Completion, Key, Request, Sampling
from pdistill.core.errors import ContextError

ATTEMPTS, FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 5, 0.5, 30.0
"""How often a request that the service accepted and then failed is submitted, and the pauses in between."""
SEED_BITS = 31
NEWLINE = "\n"


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """One request as token ids."""

    request: Request
    ids: TokenIds
    targets: TokenIds = ()


class TinkerSampler:
    """Samples answers from one model.

    Args:
        connection: the open session.
        open_client: opens the model's client in a session.
        renderer: turns prompts into token ids.
        window: maximum number of requests in flight.
        context: the model's context length in tokens; None if the service does not report it.
    """

    def __init__(
        self,
        connection: Connection,
        open_client: Callable[[Any], Any],
        renderer: TemplateRenderer,
        window: int,
        context: int | None,
    ) -> None:
        self.chunk: int | None = None
        self._connection = connection
        self._open_client = open_client
        self._renderer = renderer
        self._window = window
        self._context = context
        self._previous_ids: TokenIds = ()
        self._session: Any = None
        self._client: Any = None
        self._lock = threading.Lock()
        self._open()

    def generate(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Key, Completion]]:
        """Yield an answer for every request, in the order in which they finish.

        Raises:
            ContextError: a request does not fit in the model's context; requests in flight are answered first.
            BackendError: the service refuses a request or fails.
        """
        with Background() as background:

            def start(request: Request) -> Any:
                item = TokenRequest(request, self._renderer.prompt_ids(request.prompt))
                self._check(item, sampling.max_tokens)
                return background.submit(self._answer(item, sampling))

            for request, completion in in_window(requests, start, self._window):
                yield request.key, completion

    def score(self, items: Iterable[tuple[Request, TokenIds]], top_k: int) -> Iterator[tuple[Key, TokenScores]]:
        """Yield the log-probabilities of the given tokens after each request's prompt.

        Raises:
            ContextError: a request does not fit in the model's context.
            BackendError: the service refuses a request or fails.
        """
        with Background() as background:

            def start(pair: tuple[Request, TokenIds]) -> Any:
                request, targets = pair
                item = TokenRequest(request, self._renderer.prompt_ids(request.prompt), targets)
                self._check(item, len(targets))
                return background.submit(self._score(item, top_k))

            nonempty = ((request, tokens) for request, tokens in items if len(tokens))
            for (request, _), scores in in_window(nonempty, start, self._window):
                yield request.key, scores

    async def _answer(self, item: TokenRequest, sampling: Sampling) -> Completion:
        """Return the answer; if stopping at a newline gave an empty answer, it is sampled again without that stop sequence.

        The token counts are then the sum of both requests, as both are billed.
        """
        stops = [*sampling.stop, *([NEWLINE] if sampling.stop_at_newline else [])]
        tokens, stopped = await self._draw(item, sampling, stops)
        sampled = [len(tokens)]
        empty = stopped and not self._model_ended(item, tokens) and not self._text(item, tokens).strip()
        if sampling.stop_at_newline and empty:
            tokens, stopped = await self._draw(item, sampling, list(sampling.stop))
            sampled.append(len(tokens))
        text, cut = sampling.cut(self._text(item, tokens))
        return Completion(text, "stop" if cut or stopped else "length", len(sampled) * len(item.ids), sum(sampled))

    async def _draw(self, item: TokenRequest, sampling: Sampling, stops: list[str]) -> tuple[list[int], bool]:
        """Return the tokens of an answer, and whether the model or a stop sequence ended it."""
        ends = self._end_tokens(item.request.prompt)
        response = await self._ask(
            item.ids,
            max_tokens=sampling.max_tokens,
            seed=item.request.seed % (1 << SEED_BITS),
            stop=[*stops, *map(self._renderer.tokenizer.decode, ends)] if stops else list(ends),
            temperature=sampling.temperature,
            top_p=sampling.top_p,
        )
        tokens = list(response.sequences[0].tokens)
        return tokens, self._model_ended(item, tokens) or response.sequences[0].stop_reason == "stop"

    async def _score(self, item: TokenRequest, top_k: int) -> TokenScores:
        count = len(item.targets)
        response = await self._ask(
            [*item.ids, *item.targets],
            {"include_prompt_logprobs": True, "topk_prompt_logprobs": top_k, "prompt_logprobs_last_n": count},
            max_tokens=1,
        )
        top_tokens = (response.topk_prompt_logprobs or [])[-count:] if top_k else [()] * count
        return TokenScores(
            tuple(response.prompt_logprobs[-count:]),
            tuple(tuple(token for token, _ in position) for position in top_tokens),
            tuple(tuple(logprob for _, logprob in position) for position in top_tokens),
        )

    async def _ask(self, ids: TokenIds, scoring: dict[str, Any] | None = None, **params: Any) -> Any:
        """Return the service's response.

        Raises:
            BackendError: it refuses the request, or fails repeatedly.
        """
        types = self._connection.client.types
        prompt = types.ModelInput.from_ints(list(ids))

        async def attempt() -> Any:
            session, client = self._session, self._client
            try:
                future = client.sample(prompt, 1, types.SamplingParams(**params), **(scoring or {}))
                return await self._connection.result_of(future)
            except Exception as error:
                if verdict(error) == "gone":
                    await self._reopen(session)
                raise

        try:
            return await retry(
                attempt,
                lambda outcome: isinstance(outcome, Exception) and verdict(outcome) in ("retry", "gone"),
                wait=wait_random_exponential(FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS),
                stop=stop_after_attempt(ATTEMPTS),
                before_sleep=self._note,
                reraise=True,
            )
        except Exception as error:  # noqa: BLE001 - the client raises its own errors and plain ones
            raise to_backend_error(error, self._connection.url) from None

    def _note(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if error is not None:
            self._connection.notices.warn(
                f"answer {type(error).__name__}", f"a request for an answer failed ({detail(error)}); sending it again"
            )

    async def _reopen(self, dropped: Any) -> None:
        """Guarantee that a session other than the dropped one is open."""
        self._connection.reopen(dropped)
        await asyncio.wrap_future(run_blocking(lambda: self._open(dropped)))

    def _open(self, dropped: Any = None) -> None:
        with self._lock:
            if self._session is dropped:
                service = self._connection.service()
                self._client = self._connection.call(lambda: self._open_client(service))
                self._session = service

    def _end_tokens(self, prompt: Prompt) -> list[int]:
        """Return the tokens that end an answer: the tokenizer's, and for chat messages also the template's."""
        chat = [self._renderer.chat_end_token] if isinstance(prompt, Messages) else []
        return list(dict.fromkeys([*chat, self._renderer.end_token]))

    def _model_ended(self, item: TokenRequest, tokens: Sequence[int]) -> bool:
        """Return whether the model itself ended an answer."""
        return bool(tokens) and tokens[-1] in self._end_tokens(item.request.prompt)

    def _text(self, item: TokenRequest, tokens: Sequence[int]) -> str:
        return self._renderer.answer(tokens[:-1] if self._model_ended(item, tokens) else tokens)

    def _check(self, item: TokenRequest, answer: int) -> None:
        """Guarantee that a request fits; the prefix it shares with the previous request is reported as the prompt."""
        previous, self._previous_ids = self._previous_ids, item.ids
        if self._context is not None and len(item.ids) + answer > self._context:
            shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(previous, item.ids, strict=False)))
            raise ContextError(item.request.key.number, shared, len(item.ids) - shared, answer, self._context)
