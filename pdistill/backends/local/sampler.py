"""Answers chunks of requests: the prefix that a chunk's prompts share is computed once, the rest runs in batches."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch

from pdistill.backends.local.decoder import Decoder
from pdistill.backends.local.drawing import Drawer
from pdistill.backends.rendering import TemplateRenderer
from pdistill.core.batches import TokenIds
from pdistill.core.errors import ContextError
from pdistill.core.interfaces import TokenScores
from pdistill.core.sampling import Completion, Finish, Key, Request, Sampling


class LocalSampler:
    """Draws answers from one loaded model; answers of a chunk depend on nothing but the chunk.

    Args:
        decoder: the model.
        renderer: how its prompts become ids.
        chunk: consecutive query numbers a call.
        context: tokens that the model can hold; None where nobody knows.
    """

    def __init__(self, decoder: Decoder, renderer: TemplateRenderer, chunk: int, context: int | None) -> None:
        self.chunk: int | None = chunk
        self.decoder = decoder
        self.renderer = renderer
        self.context = context
        self.ends = end_tokens(decoder.model, renderer)

    def generate(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Key, Completion]]:
        """Yield an answer for every request, a batch at a time.

        Raises:
            ContextError: a request does not fit the model's context; nothing was computed then.
        """
        asked = list(requests)
        prompts = [self.renderer.prompt_ids(request.prompt) for request in asked]
        shared = self._shared(prompts)
        self._check(asked, prompts, shared, [sampling.max_tokens] * len(asked))
        prefix = self.decoder.prefix(prompts[0][:shared]) if asked else None
        rows = [ids[shared:] for ids in prompts]
        for batch in self.decoder.batches([len(row) for row in rows], shared, sampling.max_tokens):
            running = self.decoder.start([rows[i] for i in batch], prefix, sampling.max_tokens)
            for place, completion in self._answers(running, sampling, [asked[i].seed for i in batch]):
                yield (
                    asked[batch[place]].key,
                    Completion(completion.text, completion.finish, len(prompts[batch[place]]), completion.tokens),
                )

    def score(self, items: Iterable[tuple[Request, TokenIds]], top_k: int) -> Iterator[tuple[Key, TokenScores]]:
        """Yield the log-probabilities of the given tokens after each request's prompt.

        Raises:
            ContextError: a request does not fit the model's context; nothing was computed then.
        """
        given = [(request, list(tokens)) for request, tokens in items if len(tokens)]
        prompts = [self.renderer.prompt_ids(request.prompt) for request, _ in given]
        shared = self._shared(prompts)
        self._check([request for request, _ in given], prompts, shared, [len(tokens) for _, tokens in given])
        prefix = self.decoder.prefix(prompts[0][:shared]) if given else None
        rows = [[*ids[shared:], *tokens[:-1]] for ids, (_, tokens) in zip(prompts, given, strict=True)]
        for batch in self.decoder.batches([len(row) for row in rows], shared, 0):
            targets = [given[i][1] for i in batch]
            logits = self.decoder.start([rows[i] for i in batch], prefix, 0).first(keep=max(map(len, targets)))
            for place, i in enumerate(batch):
                yield given[i][0].key, _scores(logits[place, -len(targets[place]) :], targets[place], top_k)

    def _answers(self, running: Any, sampling: Sampling, seeds: Sequence[int]) -> Iterator[tuple[int, Completion]]:
        """Yield (place in the batch, answer) as answers end; half-empty batches are made smaller."""
        drawer = Drawer(sampling, seeds)
        answers: list[list[int]] = [[] for _ in seeds]
        rows = list(range(len(seeds)))
        done: set[int] = set()
        logits = running.first()
        while True:
            tokens = drawer.pick(logits[:, -1], rows)
            for row, token in zip(rows, tokens, strict=True):
                if row in done:
                    continue
                answers[row].append(token)
                completion = self._ended(answers[row], sampling)
                if completion:
                    done.add(row)
                    yield row, completion
            left = [place for place, row in enumerate(rows) if row not in done]
            if not left:
                return
            if len(left) <= len(rows) // 2:
                running.keep(left)
                rows, tokens = [rows[place] for place in left], [tokens[place] for place in left]
            logits = running.then(tokens)

    def _ended(self, tokens: list[int], sampling: Sampling) -> Completion | None:
        """Return the answer where its last token ends it."""
        ended = tokens[-1] in self.ends
        full = len(tokens) >= sampling.max_tokens
        if not (ended or full or sampling.stop or sampling.first_line):
            return None
        text, cut = sampling.cut(self._decoded(tokens[:-1] if ended else tokens))
        if not (ended or cut or full):
            return None
        finish: Finish = "stop" if ended or cut else "length"
        return Completion(text, finish, tokens=len(tokens))

    def _decoded(self, tokens: list[int]) -> str:
        return str(self.renderer.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _shared(self, prompts: Sequence[TokenIds]) -> int:
        """Return how many first tokens all prompts share, at least one token of each left aside."""
        if len(prompts) < 2 or not self.decoder.shares:
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


def end_tokens(model: Any, renderer: TemplateRenderer) -> frozenset[int]:
    """Return the tokens that end an answer: the model's, the tokenizer's, and the chat template's."""
    configured = getattr(model.generation_config, "eos_token_id", None)
    ends = {configured} if isinstance(configured, int) else set(configured or ())
    if renderer.tokenizer.eos_token_id is not None:
        ends.add(renderer.end_token)
    if renderer.has_chat_template:
        ends.add(renderer.chat_end_token)
    return frozenset(ends)


def _scores(logits: torch.Tensor, targets: TokenIds, top_k: int) -> TokenScores:
    logprobs = torch.log_softmax(logits.float(), -1)
    given = logprobs.gather(-1, torch.tensor(targets, device=logits.device)[:, None])[:, 0]
    top = logprobs.topk(top_k, -1)
    return TokenScores(
        tuple(given.tolist()), tuple(map(tuple, top.indices.tolist())), tuple(map(tuple, top.values.tolist()))
    )
