"""Generates answers with a fake model: in order or not, slow, cut off or failing, as the options say."""

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from pdistill.backends.fake.answers import Model
from pdistill.backends.fake.options import FakeOptions
from pdistill.backends.fake.renderer import END, EOS, FakeRenderer, count, decode, encode
from pdistill.core.contract.batches import TokenIds
from pdistill.core.contract.interfaces import TokenScores
from pdistill.core.contract.prompts import Prompt
from pdistill.core.contract.sampling import Completion, Finish, Key, Request, Sampling
from pdistill.core.errors import BackendError, ContextError

WINDOW = 16  # requests that are shuffled together
NEVER = -30.0  # log-probability in nats of a token that the model cannot generate


@dataclass(slots=True)
class Calls:
    """Counts the answers and training steps of one backend, and makes the one in the options fail."""

    fail_at: int
    latency: float
    count: int = 0

    def tick(self) -> None:
        """Count one call, and take as long as the options say.

        Raises:
            BackendError: it is the call that must fail.
        """
        self.count += 1
        if self.count == self.fail_at:
            raise BackendError(
                f"the fake backend failed at call {self.count}, as requested by -B fail_at={self.fail_at}; run the command again"
            )
        if self.latency:
            time.sleep(self.latency)


class FakeSampler:
    """Answers one request after the other."""

    def __init__(self, model: Model, options: FakeOptions, calls: Calls) -> None:
        self.chunk = options.chunk or None
        self._model = model
        self._options = options
        self._calls = calls
        self._renderer = FakeRenderer(options.chat_template)

    def generate(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Key, Completion]]:
        """Yield an answer for every request, holding one of them at a time, or a window if they are shuffled.

        Raises:
            ContextError: a request does not fit the context in the options.
            BackendError: the call must fail, or there are chat messages but no chat template.
        """
        ordered = _shuffled(requests) if self._options.shuffle else requests
        for request in ordered:
            self._calls.tick()
            yield request.key, self._complete(request, sampling)

    def score(self, items: Iterable[tuple[Request, TokenIds]], top_k: int) -> Iterator[tuple[Key, TokenScores]]:
        """Yield the log-probabilities of the given tokens, and of the `top_k` most likely tokens at each position.

        Raises:
            BackendError: the call must fail.
        """
        for request, ids in items:
            self._calls.tick()
            yield request.key, self._score(request.prompt, tuple(ids), top_k)

    def _complete(self, request: Request, sampling: Sampling) -> Completion:
        prompt = request.prompt
        shared, own = count(prompt) if self._renderer.has_chat_template else (0, len(self._renderer.prompt_ids(prompt)))
        if self._options.context and shared + own + sampling.max_tokens > self._options.context:
            raise ContextError(request.key.number, shared, own, sampling.max_tokens, self._options.context)
        text = self._model.answer(prompt) if sampling.temperature == 0 else self._draw(request, sampling)
        if sampling.allowed is not None:
            text = _kept(text, sampling.allowed.labels or ())
        text, finish, tokens = _limit(text, self._cap(request.key, sampling.max_tokens))
        if sampling.stop or sampling.stop_at_newline:
            text, stopped = sampling.cut(text)
            if stopped:
                finish, tokens = "stop", min(length(text) + 1, sampling.max_tokens)
        return Completion(text, finish, shared + own, tokens)

    def _cap(self, key: Key, max_tokens: int) -> int:
        every = self._options.cut_every
        return 1 if every and key.number % every == every - 1 else max_tokens

    def _draw(self, request: Request, sampling: Sampling) -> str:
        random = Random(request.seed)  # noqa: S311 - draws answers, keeps no secret
        ids: list[int] = []
        while len(ids) < sampling.max_tokens:
            shares = self._model.following(request.prompt, tuple(ids))
            token = _pick(shares, sampling.temperature, sampling.top_p, random)
            if token in (END, EOS):
                break
            ids.append(token)
        return decode(ids)

    def _score(self, prompt: Prompt, ids: tuple[int, ...], top_k: int) -> TokenScores:
        logprobs, top_ids, top_logprobs = [], [], []
        for position, token in enumerate(ids):
            shares = self._model.following(prompt, ids[:position])
            top = sorted(shares, key=lambda other: (-shares[other], other))[:top_k]
            logprobs.append(_log(shares.get(token, 0.0)))
            top_ids.append(tuple(top))
            top_logprobs.append(tuple(_log(shares[other]) for other in top))
        return TokenScores(tuple(logprobs), tuple(top_ids), tuple(top_logprobs))


@lru_cache(maxsize=1024)
def length(text: str) -> int:
    """Return the number of tokens of an answer, without its end token."""
    return len(encode(text))


def _kept(text: str, labels: tuple[str, ...]) -> str:
    """Return the text if it is a label, or else the first label, with the same leading space."""
    space = text[: len(text) - len(text.lstrip())]
    return text if text.strip() in labels else space + labels[0]


def _limit(text: str, max_tokens: int) -> tuple[str, Finish, int]:
    tokens = length(text)
    if tokens < max_tokens:
        return text, "stop", tokens + 1
    return decode(encode(text)[:max_tokens]), "length", max_tokens


def _shuffled(requests: Iterable[Request]) -> Iterator[Request]:
    random = Random(0)  # noqa: S311
    window: list[Request] = []
    for request in requests:
        window.append(request)
        if len(window) == WINDOW:
            yield window.pop(random.randrange(WINDOW))
    random.shuffle(window)
    yield from window


def _pick(shares: Mapping[int, float], temperature: float, top_p: float, random: Random) -> int:
    """Return a token drawn from the most likely ones that together have `top_p` of the probability."""
    best = max(shares.values())
    heats = {token: (share / best) ** (1 / temperature) for token, share in shares.items() if share > 0}
    ranked = sorted(heats, key=lambda token: (-heats[token], token))
    total = sum(heats.values())
    kept, mass = [], 0.0
    for token in ranked:
        kept.append(token)
        mass += heats[token] / total
        if mass >= top_p:
            break
    return random.choices(kept, [heats[token] for token in kept])[0]


def _log(share: float) -> float:
    return math.log(share) if share > 0 else NEVER
