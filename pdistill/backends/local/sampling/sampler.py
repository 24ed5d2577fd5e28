"""Answers requests in chunks: the prefix that the prompts of a chunk share is computed once, the rest runs in batches."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

import torch

from pdistill.backends.local.model.stop_rules import StopRules, end_tokens
from pdistill.backends.local.sampling.label_trie import LabelTrie
from pdistill.backends.local.sampling.partial_answers import PartialAnswers
from pdistill.backends.local.sampling.stop_text_filter import StopTextFilter
from pdistill.backends.local.torch_engine.decoder import Decoder
from pdistill.backends.rendering import TemplateRenderer
from pdistill.core.contract.batches import TokenIds
from pdistill.core.contract.interfaces import TokenScores
from pdistill.core.contract.sampling import Completion, Key, Request, Sampling
from pdistill.core.errors import BackendError, ContextError

INCOMPLETE_CHARACTER = "\N{REPLACEMENT CHARACTER}"
"""The last character of a text whose last token ends in the middle of a character."""
GROUP_PREFIX_TOKENS, MIN_GROUP_PROMPTS = 64, 8
"""First tokens that prompts of one group have in common; fewer prompts than this do not get a prefix of their own."""


class LocalSampler:
    """Generates answers with one loaded model; the answers of a chunk depend on nothing outside of the chunk.

    Args:
        decoder: the model.
        renderer: renders prompts to ids.
        chunk: consecutive query numbers per call.
        context: tokens that the model can hold; None where it is unknown.
        streams: whether all requests come in one call and are divided into chunks here.
    """

    def __init__(
        self, decoder: Decoder, renderer: TemplateRenderer, chunk: int, context: int | None, streams: bool = False
    ) -> None:
        self.chunk: int | None = None if streams else chunk
        self.decoder = decoder
        self.renderer = renderer
        self.context = context
        self.chunk_size = chunk
        self.ends = end_tokens(getattr(decoder.model.generation_config, "eos_token_id", None), renderer)

    def generate(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Key, Completion]]:
        """Yield an answer for every request, as they finish.

        Raises:
            ContextError: a request does not fit the model's context; nothing of its chunk has been computed.
        """
        if self.chunk is not None:
            yield from self._generate_chunk(list(requests), sampling)
            return
        pending = iter(requests)
        while chunk := list(islice(pending, self.chunk_size)):
            yield from self._generate_chunk(chunk, sampling)

    def _generate_chunk(self, requests: Sequence[Request], sampling: Sampling) -> Iterator[tuple[Key, Completion]]:
        prompts = [self.renderer.prompt_ids(request.prompt) for request in requests]
        self._check_context(requests, prompts, self._shared_length(prompts), [sampling.max_tokens] * len(requests))
        for group in group_by_prefix(prompts) if self.decoder.shares_prefix else [range(len(prompts))]:
            yield from self._generate_group([requests[i] for i in group], [prompts[i] for i in group], sampling)

    def _generate_group(
        self, requests: Sequence[Request], prompts: Sequence[TokenIds], sampling: Sampling
    ) -> Iterator[tuple[Key, Completion]]:
        shared = self._shared_length(prompts)
        prefix = self.decoder.prefix(prompts[0][:shared]) if requests else None
        rows = [ids[shared:] for ids in prompts]
        seeds = [request.seed for request in requests]
        stop_rules = StopRules(sampling, self.ends, self.renderer)
        answers = PartialAnswers(stop_rules, seeds, self._label_trie(requests, sampling))
        for _ in self.decoder.engine.decode(rows, prefix, sampling.max_tokens, answers.choose):
            for row, completion in answers.take_finished():
                yield requests[row].key, replace(completion, prompt_tokens=len(prompts[row]))

    def _label_trie(self, requests: Sequence[Request], sampling: Sampling) -> LabelTrie | None:
        """Return what restricts answers to the allowed labels; None where everything is allowed.

        Raises:
            BackendError: a pattern or a schema is given, which takes vLLM's grammars.
        """
        if sampling.allowed is None:
            return None
        labels = sampling.allowed.labels
        if labels is None:
            raise BackendError(
                "the torch engine can constrain answers to labels, but not to a pattern or a schema; leave out --constrain, "
                "and invalid answers are rejected"
            )
        return LabelTrie(
            [[self.renderer.target_ids(request.prompt, label) for label in labels] for request in requests]
        )

    def stream(self, request: Request, sampling: Sampling) -> Iterator[str]:
        """Yield one answer piece by piece.

        Raises:
            ContextError: the request does not fit the model's context.
        """
        ids = self.renderer.prompt_ids(request.prompt)
        self._check_context([request], [ids], 0, [sampling.max_tokens])
        answers = PartialAnswers(StopRules(sampling, self.ends, self.renderer), [request.seed])
        stop_filter, decoded, shown = StopTextFilter(sampling), 0, 0
        for _ in self.decoder.engine.decode([ids], None, sampling.max_tokens, answers.choose):
            for _, answer in answers.take_finished():
                yield answer.text[shown:]
                return
            text = answers.text(0)
            if not text.endswith(INCOMPLETE_CHARACTER):
                piece = stop_filter.feed(text[decoded:])
                decoded, shown = len(text), shown + len(piece)
                yield piece

    def score(self, items: Iterable[tuple[Request, TokenIds]], top_k: int) -> Iterator[tuple[Key, TokenScores]]:
        """Yield the log-probabilities of the given tokens after each request's prompt.

        Raises:
            ContextError: a request does not fit the model's context; nothing has been computed.
        """
        scored = [(request, list(tokens)) for request, tokens in items if len(tokens)]
        prompts = [self.renderer.prompt_ids(request.prompt) for request, _ in scored]
        shared = self._shared_length(prompts)
        keep = [len(tokens) for _, tokens in scored]
        self._check_context([request for request, _ in scored], prompts, shared, keep)
        prefix = self.decoder.prefix(prompts[0][:shared]) if scored else None
        rows = [[*ids[shared:], *tokens[:-1]] for ids, (_, tokens) in zip(prompts, scored, strict=True)]
        for row, logits in self.decoder.engine.logits(rows, prefix, keep):
            yield scored[row][0].key, _scores(logits, scored[row][1], top_k)

    def _shared_length(self, prompts: Sequence[TokenIds]) -> int:
        """Return how many first tokens all prompts share, leaving at least one token of each."""
        if len(prompts) < 2 or not self.decoder.shares_prefix:
            return 0
        low, high = min(prompts, key=list), max(prompts, key=list)
        most = min(len(ids) for ids in prompts) - 1
        return next((i for i in range(most) if low[i] != high[i]), most)

    def _check_context(
        self, requests: Sequence[Request], prompts: Sequence[TokenIds], shared: int, answers: Sequence[int]
    ) -> None:
        for request, ids, tokens in zip(requests, prompts, answers, strict=True):
            if self.context is not None and len(ids) + tokens > self.context:
                raise ContextError(request.key.number, shared, len(ids) - shared, tokens, self.context)


def group_by_prefix(prompts: Sequence[TokenIds]) -> list[Sequence[int]]:
    """Return the indices of the prompts in groups that begin with the same tokens: one group per long prompt.

    Where a group would be small, as with prompts that begin with the query, all are in one group.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, ids in enumerate(prompts):
        groups.setdefault(tuple(ids[:GROUP_PREFIX_TOKENS]), []).append(index)
    small = any(len(group) < MIN_GROUP_PROMPTS for group in groups.values())
    return [range(len(prompts))] if small else list(groups.values())


def _scores(logits: torch.Tensor, tokens: TokenIds, top_k: int) -> TokenScores:
    logprobs = torch.log_softmax(logits.float(), -1)
    token_logprobs = logprobs.gather(-1, torch.tensor(tokens, device=logits.device)[:, None])[:, 0]
    top = logprobs.topk(top_k, -1)
    return TokenScores(
        tuple(token_logprobs.tolist()), tuple(map(tuple, top.indices.tolist())), tuple(map(tuple, top.values.tolist()))
    )
