"""Answers chunks of requests: the prefix that a chunk's prompts share is computed once, the rest runs in batches."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

import torch

from pdistill.backends.local.engine.decoder import Decoder
from pdistill.backends.local.model.stop_rules import StopRules, end_tokens
from pdistill.backends.local.sampling.label_trie import LabelTrie
from pdistill.backends.local.sampling.stop_text_filter import StopTextFilter
from pdistill.backends.local.sampling.token_sampler import TokenSampler
from pdistill.backends.rendering import TemplateRenderer
from pdistill.core.batches import TokenIds
from pdistill.core.errors import BackendError, ContextError
from pdistill.core.interfaces import TokenScores
from pdistill.core.sampling import Completion, Key, Request, Sampling

INCOMPLETE_CHARACTER = "\N{REPLACEMENT CHARACTER}"
"""What an answer ends in whose last character is not whole yet."""
GROUP_PREFIX_TOKENS, MIN_GROUP_PROMPTS = 64, 8
"""First tokens by which prompts are told to be alike; prompts too few for a prefix of their own."""


class LocalSampler:
    """Draws answers from one loaded model; answers of a chunk depend on nothing but the chunk.

    Args:
        decoder: the model.
        renderer: how its prompts become ids.
        chunk: consecutive query numbers a call.
        context: tokens that the model can hold; None where nobody knows.
        streams: whether all requests come in one call, to be taken by the chunk here.
    """

    def __init__(
        self, decoder: Decoder, renderer: TemplateRenderer, chunk: int, context: int | None, streams: bool = False
    ) -> None:
        self.chunk: int | None = None if streams else chunk
        self.decoder = decoder
        self.renderer = renderer
        self.context = context
        self.window = chunk
        self.ends = end_tokens(getattr(decoder.model.generation_config, "eos_token_id", None), renderer)

    def generate(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Key, Completion]]:
        """Yield an answer for every request, as they finish.

        Raises:
            ContextError: a request does not fit the model's context; nothing of its chunk was computed then.
        """
        if self.chunk is not None:
            yield from self._generate_chunk(list(requests), sampling)
            return
        coming = iter(requests)
        while asked := list(islice(coming, self.window)):
            yield from self._generate_chunk(asked, sampling)

    def _generate_chunk(self, asked: Sequence[Request], sampling: Sampling) -> Iterator[tuple[Key, Completion]]:
        prompts = [self.renderer.prompt_ids(request.prompt) for request in asked]
        self._check(asked, prompts, self._shared_prefix_length(prompts), [sampling.max_tokens] * len(asked))
        for places in group_by_prefix(prompts) if self.decoder.shares_prefix else [range(len(prompts))]:
            yield from self._generate_group([asked[at] for at in places], [prompts[at] for at in places], sampling)

    def _generate_group(
        self, asked: Sequence[Request], prompts: Sequence[TokenIds], sampling: Sampling
    ) -> Iterator[tuple[Key, Completion]]:
        shared = self._shared_prefix_length(prompts)
        prefix = self.decoder.prefix(prompts[0][:shared]) if asked else None
        rows = [ids[shared:] for ids in prompts]
        seeds = [request.seed for request in asked]
        partial = PartialAnswers(
            StopRules(sampling, self.ends, self.renderer), seeds, self._label_trie(asked, sampling)
        )
        for _ in self.decoder.engine.answers(rows, prefix, shared, sampling.max_tokens, partial.choose):
            for row, completion in partial.take_finished():
                yield asked[row].key, replace(completion, prompt_tokens=len(prompts[row]))

    def _label_trie(self, asked: Sequence[Request], sampling: Sampling) -> LabelTrie | None:
        """Return what keeps answers to the labels that are allowed; None where anything is.

        Raises:
            BackendError: a pattern or a schema is given, which only vLLM's grammars keep to.
        """
        if sampling.allowed is None:
            return None
        labels = sampling.allowed.labels
        if labels is None:
            raise BackendError(
                "the torch engine keeps answers to labels, not to a pattern or a schema; leave --constrain out, and answers "
                "that are not valid are rejected"
            )
        return LabelTrie([[self.renderer.target_ids(request.prompt, label) for label in labels] for request in asked])

    def stream(self, request: Request, sampling: Sampling) -> Iterator[str]:
        """Yield the pieces of one answer as they are made.

        Raises:
            ContextError: the request does not fit the model's context.
        """
        ids = self.renderer.prompt_ids(request.prompt)
        self._check([request], [ids], 0, [sampling.max_tokens])
        partial = PartialAnswers(StopRules(sampling, self.ends, self.renderer), [request.seed])
        stop_filter, seen, shown = StopTextFilter(sampling), 0, 0
        for _ in self.decoder.engine.answers([ids], None, 0, sampling.max_tokens, partial.choose):
            for _, answer in partial.take_finished():
                yield answer.text[shown:]
                return
            text = partial.text(0)
            if not text.endswith(INCOMPLETE_CHARACTER):
                piece = stop_filter.feed(text[seen:])
                seen, shown = len(text), shown + len(piece)
                yield piece

    def score(self, items: Iterable[tuple[Request, TokenIds]], top_k: int) -> Iterator[tuple[Key, TokenScores]]:
        """Yield the log-probabilities of the given tokens after each request's prompt.

        Raises:
            ContextError: a request does not fit the model's context; nothing was computed then.
        """
        given = [(request, list(tokens)) for request, tokens in items if len(tokens)]
        prompts = [self.renderer.prompt_ids(request.prompt) for request, _ in given]
        shared = self._shared_prefix_length(prompts)
        self._check([request for request, _ in given], prompts, shared, [len(tokens) for _, tokens in given])
        prefix = self.decoder.prefix(prompts[0][:shared]) if given else None
        rows = [[*ids[shared:], *tokens[:-1]] for ids, (_, tokens) in zip(prompts, given, strict=True)]
        keep = [len(tokens) for _, tokens in given]
        for row, logits in self.decoder.engine.logits(rows, prefix, shared, keep):
            yield given[row][0].key, _scores(logits, given[row][1], top_k)

    def _shared_prefix_length(self, prompts: Sequence[TokenIds]) -> int:
        """Return how many first tokens all prompts share, at least one token of each left aside."""
        if len(prompts) < 2 or not self.decoder.shares_prefix:
            return 0
        low, high = min(prompts, key=list), max(prompts, key=list)
        most = min(len(ids) for ids in prompts) - 1
        return next((i for i in range(most) if low[i] != high[i]), most)

    def _check(
        self, asked: Sequence[Request], prompts: Sequence[TokenIds], shared: int, answers: Sequence[int]
    ) -> None:
        for request, ids, tokens in zip(asked, prompts, answers, strict=True):
            if self.context is not None and len(ids) + tokens > self.context:
                raise ContextError(request.key.number, shared, len(ids) - shared, tokens, self.context)


def group_by_prefix(prompts: Sequence[TokenIds]) -> list[Sequence[int]]:
    """Return the places of the prompts that begin alike, together: those under one long prompt, where there are several.

    Where that would leave few together, as with prompts that begin with the query, all are in one.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for place, ids in enumerate(prompts):
        groups.setdefault(tuple(ids[:GROUP_PREFIX_TOKENS]), []).append(place)
    few = any(len(places) < MIN_GROUP_PROMPTS for places in groups.values())
    return [range(len(prompts))] if few else list(groups.values())


class PartialAnswers:
    """The answers of one chunk while they grow.

    Args:
        stop_rules: says when they are over.
        seeds: one a row.
        trie: what the answers are kept to; None where anything may be said.
    """

    def __init__(self, stop_rules: StopRules, seeds: Sequence[int], trie: LabelTrie | None = None) -> None:
        self.stop_rules = stop_rules
        self._token_sampler = TokenSampler(stop_rules.sampling, seeds)
        self._label_trie = trie
        self._answers: list[list[int]] = [[] for _ in seeds]
        self._finished: list[tuple[int, Completion]] = []

    def choose(self, rows: Sequence[int], logits: torch.Tensor) -> list[int | None]:
        """Return the next token of each row, whose logits (B, V) these are; None where its answer is over."""
        if self._label_trie is not None:
            logits = self._label_trie.keep(logits, rows, [self._answers[row] for row in rows])
        chosen: list[int | None] = []
        for row, token in zip(rows, self._token_sampler.sample(logits, rows), strict=True):
            self._answers[row].append(token)
            completion = self.stop_rules.completion(self._answers[row])
            if completion is not None:
                self._finished.append((row, completion))
            chosen.append(token if completion is None else None)
        return chosen

    def text(self, row: int) -> str:
        """Return what a row's answer says so far."""
        return self.stop_rules.decoded(self._answers[row])

    def take_finished(self) -> list[tuple[int, Completion]]:
        """Return (row, answer) of the answers that ended since this was last asked."""
        ended, self._finished = self._finished, []
        return ended


def _scores(logits: torch.Tensor, targets: TokenIds, top_k: int) -> TokenScores:
    logprobs = torch.log_softmax(logits.float(), -1)
    given = logprobs.gather(-1, torch.tensor(targets, device=logits.device)[:, None])[:, 0]
    top = logprobs.topk(top_k, -1)
    return TokenScores(
        tuple(given.tolist()), tuple(map(tuple, top.indices.tolist())), tuple(map(tuple, top.values.tolist()))
    )
