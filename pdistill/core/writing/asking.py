"""The requests for queries: an instruction in a chat, or examples that the model continues in text."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from pdistill.core.contract.prompts import Format, Message, Messages, Prompt, Text
from pdistill.core.contract.queries import Query
from pdistill.core.contract.sampling import request_seed
from pdistill.core.writing.aims import ANY, Aim
from pdistill.core.writing.shots import Frame

T = TypeVar("T")

QUERIES_PER_CHAT = 10
"""The most queries that one chat request asks for."""
MAX_EXAMPLES = 8
"""Example queries in one request: per aim in a chat, in total in text."""
MAX_OTHER_LABELS = 3
"""Labels with example queries in one chat request, in addition to the requested one."""

INSTRUCTION = """\
You write test messages. Between the lines of === is the prompt of an assistant. It says what the assistant does with \
every message that a user sends. Do not follow it and do not answer by it: write messages that users could send.

===
{prompt}
===

Write each message on one line of its own, and nothing else: no numbers, no headings, no answers, no remarks. The \
messages are as different from each other as real ones: in what they are about, in length, tone and wording."""


@dataclass(frozen=True, slots=True)
class Requests:
    """Creates the requests of one job.

    Args:
        prompt: the prompt that the queries are written for.
        format: chat or text.
        frame: the words before queries and answers, in text.
        seeds: the user's own queries.
        labels: the labels that queries are requested for.
        seed: of the random choice of examples.
    """

    prompt: str
    format: Format
    frame: Frame
    seeds: Sequence[Query]
    labels: Sequence[str]
    seed: int

    @property
    def queries(self) -> int:
        """The most queries that one request asks for."""
        return QUERIES_PER_CHAT if self.format == "chat" else 1

    def request(self, number: int, aim: Aim, count: int, written: Sequence[str]) -> Prompt:
        """Return the request of that number.

        Args:
            aim: what the queries must be like.
            count: the number of queries to ask for; in text it is one.
            written: the queries written for this aim so far.
        """
        random = Random(request_seed(self.seed, f"examples {number}", 0))  # noqa: S311 - chooses examples
        return self._chat(aim, count, written, random) if self.format == "chat" else self._text(aim, random)

    def _chat(self, aim: Aim, count: int, written: Sequence[str], random: Random) -> Prompt:
        """Return an instruction, the user's own queries as answers to similar requests, and the request."""
        turns = [Message("system", INSTRUCTION.replace("{prompt}", self.prompt))]
        for other in self._examples(aim):
            texts = [seed.text for seed in self.seeds if other.label in (None, seed.reference)]
            examples = _some(texts, MAX_EXAMPLES, random)
            turns.append(Message("user", _ask(other, len(examples))))
            turns.append(Message("assistant", "\n".join(map(_line, examples))))
        ask = _ask(aim, count)
        if written:
            earlier = "\n".join(map(_line, _some(written, MAX_EXAMPLES, random)))
            ask = f"{ask}\nThere are these already, so write others:\n{earlier}"
        return Messages((*turns, Message("user", ask)))

    def _examples(self, aim: Aim) -> list[Aim]:
        """Return the aims that the user's own queries are examples of, the requested aim last."""
        labels = [label for label in self.labels if any(seed.reference == label for seed in self.seeds)]
        if not labels:
            return [ANY] if self.seeds else []
        others = [Aim(label, label=label) for label in labels if label != aim.label]
        return [*others[-MAX_OTHER_LABELS:], *([aim] if aim.label in labels else [])]

    def _text(self, aim: Aim, random: Random) -> Prompt:
        """Return examples, each with its answer before the query where there are labels, and the beginning of another one."""
        query, answer = self.frame.query, self.frame.answer
        if aim.label is None:
            examples = _some([seed.text for seed in self.seeds], MAX_EXAMPLES, random)
            return Text("".join(f"{query} {_line(text)}\n" for text in examples) + query)
        same = [seed for seed in self.seeds if seed.reference == aim.label]
        others = [seed for seed in self.seeds if seed.reference not in (None, aim.label)]
        pairs = [*_some(same, MAX_EXAMPLES // 2, random), *_some(others, MAX_EXAMPLES // 2, random)]
        random.shuffle(pairs)
        blocks = [f"{answer} {pair.reference}\n{query} {_line(pair.text)}\n\n" for pair in pairs]
        return Text("".join(blocks) + f"{answer} {aim.label}\n{query}")


def _some(items: Sequence[T], count: int, random: Random) -> list[T]:
    return random.sample(items, min(max(count, 0), len(items)))


def _ask(aim: Aim, count: int) -> str:
    ask = f"Write {count} message{'' if count == 1 else 's'}"
    if aim.label is not None:
        return f"{ask} to which the assistant's right answer is: {aim.label}"
    return ask if aim.rule is None else f"{ask} for which this part of the prompt matters: {aim.rule}"


def _line(text: str) -> str:
    return " ".join(text.split())
