"""Generates answers with vLLM: requests pass through its queue, and each answer is yielded as soon as it has ended."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count, islice
from pathlib import Path
from typing import Any

from pdistill.backends.local.model.stop_rules import StopRules
from pdistill.backends.local.vllm.engine import VllmEngine
from pdistill.backends.rendering import TemplateRenderer
from pdistill.core.contract.batches import TokenIds
from pdistill.core.contract.interfaces import TokenScores
from pdistill.core.contract.prompts import Prompt
from pdistill.core.contract.sampling import Allowed, Completion, Key, Request, Sampling
from pdistill.core.errors import BackendError, ContextError

MAX_REQUESTS_IN_FLIGHT = 1024
"""Most requests in vLLM's queue, running and waiting."""


class VllmSampler:
    """Generates answers with one open engine.

    Args:
        engine: the engine.
        renderer: renders prompts to ids.
        ends: tokens that end an answer.
        adapter: the directory of the student's adapter; None is the base.
    """

    def __init__(
        self, engine: VllmEngine, renderer: TemplateRenderer, ends: frozenset[int], adapter: Path | None
    ) -> None:
        self.chunk: int | None = None
        self.engine = engine
        self.renderer = renderer
        self.ends = ends
        self.adapter = adapter
        self._names = map(str, count())

    def generate(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Key, Completion]]:
        """Yield an answer for every request, as they finish.

        Raises:
            ContextError: a request does not fit the model's context.
        """
        stop_rules = StopRules(sampling, self.ends, self.renderer)
        pending, in_flight = iter(requests), dict[str, tuple[Key, int]]()
        try:
            while True:
                for request in islice(pending, MAX_REQUESTS_IN_FLIGHT - len(in_flight)):
                    ids = self.renderer.prompt_ids(request.prompt)
                    self._check_context(request, ids, sampling.max_tokens)
                    name = next(self._names)
                    in_flight[name] = (request.key, len(ids))
                    with _grammar_errors(sampling.allowed):
                        self.engine.add_request(name, ids, self.adapter, **self._sampling(request, stop_rules))
                if not in_flight:
                    return
                for output in self.engine.step():
                    completion = _completion(output, stop_rules)
                    if completion is None:
                        continue
                    key, tokens = in_flight.pop(output.request_id)
                    if not output.finished:
                        self.engine.abort(output.request_id)
                    yield key, Completion(completion.text, completion.finish, tokens, completion.tokens)
        finally:
            for name in in_flight:
                self.engine.abort(name)

    def score(self, items: Iterable[tuple[Request, TokenIds]], top_k: int) -> Iterator[tuple[Key, TokenScores]]:
        """Yield the log-probabilities of the given tokens after each request's prompt.

        Raises:
            ContextError: a request does not fit the model's context.
        """
        pending, in_flight = iter(items), dict[str, tuple[Key, list[int], int]]()
        while True:
            for request, tokens in islice(pending, MAX_REQUESTS_IN_FLIGHT - len(in_flight)):
                if tokens:
                    ids = [*self.renderer.prompt_ids(request.prompt), *tokens]
                    self._check_context(request, ids, 1)
                    in_flight[self._score(ids, top_k, cached=True)] = (request.key, ids, len(tokens))
            if not in_flight:
                return
            for output in self.engine.step():
                if not output.finished:
                    continue
                key, ids, size = in_flight.pop(output.request_id)
                if size > len(ids) - 1 - (output.num_cached_tokens or 0):
                    in_flight[self._score(ids, top_k, cached=False)] = (key, ids, size)  # the cache holds no scores
                else:
                    yield key, _scores(output.prompt_logprobs[-size:], ids[-size:], top_k)

    def _score(self, ids: Sequence[int], top_k: int, cached: bool) -> str:
        name = next(self._names)
        sampling = {"temperature": 0.0, "max_tokens": 1, "prompt_logprobs": top_k}
        self.engine.add_request(name, ids, self.adapter, skip_reading_prefix_cache=not cached, **sampling)
        return name

    def _sampling(self, request: Request, stop_rules: StopRules) -> dict[str, Any]:
        from vllm.sampling_params import RequestOutputKind

        sampling = stop_rules.sampling
        return {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p if sampling.temperature else 1.0,
            "max_tokens": sampling.max_tokens,
            "seed": request.seed if sampling.temperature else None,
            "stop_token_ids": sorted(self.ends),
            "structured_outputs": _structured_outputs(self.renderer, request.prompt, sampling.allowed),
            "output_kind": RequestOutputKind.CUMULATIVE if stop_rules.by_text else RequestOutputKind.FINAL_ONLY,
        }

    def _check_context(self, request: Request, ids: TokenIds, tokens: int) -> None:
        if len(ids) + tokens > self.engine.context:
            raise ContextError(request.key.number, 0, len(ids), tokens, self.engine.context)


@contextmanager
def _grammar_errors(allowed: Allowed | None) -> Iterator[None]:
    """Turn vLLM's errors about a grammar into a BackendError of one line."""
    try:
        yield
    except Exception as error:
        if allowed is None:
            raise
        reason = str(error).strip().partition("\n")[0]
        raise BackendError(f"vLLM can't constrain its decoding to this ({reason}); leave out --constrain") from None


def _structured_outputs(renderer: TemplateRenderer, prompt: Prompt, allowed: Allowed | None) -> Any:
    """Return vLLM's constraint for what is allowed, with the whitespace that an answer begins with."""
    if allowed is None:
        return None
    from vllm.sampling_params import StructuredOutputsParams

    if allowed.json_schema is not None:
        return StructuredOutputsParams(json=allowed.json_schema)
    if allowed.pattern is not None:
        space = re.escape(_written(renderer, prompt, "x").partition("x")[0])
        return StructuredOutputsParams(regex=f"({space})?({allowed.pattern})" if space else allowed.pattern)
    return StructuredOutputsParams(choice=[_written(renderer, prompt, label) for label in allowed.labels or ()])


def _written(renderer: TemplateRenderer, prompt: Prompt, answer: str) -> str:
    return renderer.written(renderer.target_ids(prompt, answer)[:-1])


def _completion(output: Any, stop_rules: StopRules) -> Completion | None:
    """Return the answer if it has ended, or else None.

    Raises:
        BackendError: vLLM gave up on it.
    """
    tokens, reason = list(output.outputs[0].token_ids), output.outputs[0].finish_reason
    completion = stop_rules.completion(tokens) if tokens else None
    if completion is None and output.finished:
        raise BackendError(f"vLLM gave up on a request ('{reason}'); use -B engine=torch")
    return completion


def _scores(logprobs: Sequence[Any], tokens: Sequence[int], top_k: int) -> TokenScores:
    tops = [sorted(position.items(), key=lambda item: item[1].rank)[:top_k] for position in logprobs]
    return TokenScores(
        tuple(position[token].logprob for position, token in zip(logprobs, tokens, strict=True)),
        tuple(tuple(token for token, _ in top) for top in tops),
        tuple(tuple(entry.logprob for _, entry in top) for top in tops),
    )
