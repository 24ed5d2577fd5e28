"""The models that answer without training: the rule, the scripted teacher, the echo."""

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from hashlib import sha256
from typing import Protocol
from unicodedata import normalize

from pdistill.backends.fake.renderer import END, EOS, encode, spaced
from pdistill.core.contract.probe_texts import is_probe
from pdistill.core.contract.prompts import Messages, Prompt, Text
from pdistill.core.errors import BackendError

Script = Callable[[str, str], str] | Mapping[str, str]
"""A custom teacher: a function from prompt and query to the answer, or a mapping from query to answer."""

NAMED = re.compile(r"^[^\s:][^:\n]{0,40}:(\w[\w-]*)", re.MULTILINE)
FRAME = re.compile(r"^\w+: ")
SURE = 0.9  # the probability of the rule's own answer


class Model(Protocol):
    """What the sampler generates answers with."""

    def answer(self, prompt: Prompt) -> str:
        """Return the most likely answer."""

    def following(self, prompt: Prompt, prefix: tuple[int, ...]) -> Mapping[int, float]:
        """Return the probabilities of the next token after the prompt and the answer's first tokens."""


def last_line(text: str) -> str:
    """Return the last line that has text and does not end in a colon: where a plain-text prompt has the query."""
    lines = [line for line in text.splitlines() if line.strip()] or [""]
    return next((line for line in reversed(lines) if not line.rstrip().endswith(":")), lines[-1])


def divide(prompt: Prompt) -> tuple[str, str]:
    """Return the prompt and the query of what is asked; a bare query has an empty prompt."""
    if isinstance(prompt, Messages):
        *before, last = prompt.messages
        if before:
            return before[0].content, last.content
        text = last.content
    else:
        text = prompt.text
    line = last_line(text)
    if len(labels_in(text)) < 2 and "\n\n" not in text:
        return "", FRAME.sub("", line)
    before_line, _, after_line = text.rpartition(line)
    return before_line + after_line, FRAME.sub("", line)


@lru_cache(maxsize=64)
def labels_in(prompt: str) -> tuple[str, ...]:
    """Return the distinct words right after the colon of lines like `Name:label`, in order."""
    return tuple(dict.fromkeys(NAMED.findall(prompt)))


def ending(text: str) -> str:
    """Return the last letter or digit of a text, in lower case and without accents, which decides the rule's answer."""
    for character in reversed(text):
        if character.isalnum():
            return character.lower() if character.isascii() else normalize("NFKD", character.casefold())[0]
    return ""


@lru_cache(maxsize=1024)
def choose(answers: tuple[str, ...], rules: str, feature: str) -> tuple[tuple[str, float], ...]:
    """Return the rule's answer and then the others, with their probabilities; `answers` take precedence over the prompt's labels."""
    labels, seed = answers or labels_in(rules), feature
    if not labels:
        labels, seed = ("yes", "no"), f"{rules}\n{feature}"
    index = sha256(seed.encode("utf-8", "surrogatepass")).digest()[0] % len(labels)
    others = labels[:index] + labels[index + 1 :]
    best = (labels[index], SURE if others else 1.0)
    return best, *((other, (1 - SURE) / len(others)) for other in others)


class Choices:
    """A model whose answers have fixed probabilities, the most likely first."""

    def choices(self, prompt: Prompt) -> tuple[tuple[str, float], ...]:
        """Return answers and their probabilities."""
        raise NotImplementedError

    def answer(self, prompt: Prompt) -> str:
        """Return the most likely answer."""
        text = self.choices(prompt)[0][0]
        return spaced(prompt.text, text) if isinstance(prompt, Text) else text

    def following(self, prompt: Prompt, prefix: tuple[int, ...]) -> Mapping[int, float]:
        """Return the probabilities of the next token, from the answers that begin with the prefix."""
        end = EOS if isinstance(prompt, Text) else END
        shares: dict[int, float] = {}
        for text, share in self.choices(prompt):
            ids = (*encode(spaced(prompt.text, text) if isinstance(prompt, Text) else text), end)
            if ids[: len(prefix)] == prefix and len(ids) > len(prefix):
                shares[ids[len(prefix)]] = shares.get(ids[len(prefix)], 0.0) + share
        total = sum(shares.values())
        return {token: share / total for token, share in shares.items()} or {end: 1.0}


class Echo(Choices):
    """Repeats the query, with or without a prompt."""

    def choices(self, prompt: Prompt) -> tuple[tuple[str, float], ...]:
        """Return the query."""
        return ((divide(prompt)[1], 1.0),)


class Rule(Choices):
    """Answers with one of the labels that the prompt names, chosen by the last letter of the query.

    The labels are the words right after the colon of lines like `Name:label`; if there are none, the answer is "yes" or
    "no", chosen by the whole prompt and the last letter. Without a prompt the rule repeats the query.

    Args:
        answers: labels to use instead of those that the prompt names.
        always: whether to answer by the rule even without a prompt, as a teacher does.
    """

    def __init__(self, answers: tuple[str, ...] = (), always: bool = False) -> None:
        self._answers = answers
        self._always = always

    def choices(self, prompt: Prompt) -> tuple[tuple[str, float], ...]:
        """Return the rule's answer, then the other labels."""
        rules, query = divide(prompt)
        if not rules and not self._always:
            return ((query, 1.0),)
        return choose(self._answers, rules, ending(query))


class Scripted(Choices):
    """Answers with a function of prompt and query, or a mapping from query to answer; repeats a bare query.

    A mapping needs no answers to the questions of the probes, which are repeated too.

    Args:
        script: the function or mapping.
        always: whether to use the script even without a prompt, as a teacher does.
    """

    def __init__(self, script: Script, always: bool = False) -> None:
        self._script = script
        self._always = always

    def choices(self, prompt: Prompt) -> tuple[tuple[str, float], ...]:
        """Return the only answer.

        Raises:
            BackendError: the mapping has no answer to the query.
        """
        rules, query = divide(prompt)
        if not rules and not self._always:
            return ((query, 1.0),)
        if not isinstance(self._script, Mapping):
            return ((self._script(rules, query), 1.0),)
        if query not in self._script and is_probe(query):
            return ((query, 1.0),)
        if query not in self._script:
            near = get_close_matches(query, list(self._script), n=1)
            hint = f"; the closest query in it is {near[0]!r}" if near else ""
            raise BackendError(f"the fake teacher's mapping has no answer to {query!r}{hint}; add one")
        return ((self._script[query], 1.0),)
