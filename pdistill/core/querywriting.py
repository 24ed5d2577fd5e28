"""How a model is asked for queries: by an instruction in a chat, or by examples that it goes on with in text."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from pdistill.core.aims import Aim
from pdistill.core.prompts import Format, Message, Messages, Prompt, Text
from pdistill.core.queries import Query
from pdistill.core.sampling import request_seed
from pdistill.core.shots import Frame

T = TypeVar("T")

ASKED = 10
"""Queries that one request in a chat asks for."""
SHOWN = 8
"""Queries that one request shows at the most."""

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
    """Makes the requests of one job.

    Args:
        prompt: that the queries are written for.
        format: chat or text.
        frame: the words before queries and answers, in text.
        seeds: the user's own queries.
        seed: of the choice of examples.
    """

    prompt: str
    format: Format
    frame: Frame
    seeds: Sequence[Query]
    seed: int

    @property
    def queries(self) -> int:
        """Queries that one request asks for."""
        return ASKED if self.format == "chat" else 1

    def request(self, number: int, aim: Aim, written: Sequence[str]) -> Prompt:
        """Return the request of that number.

        Args:
            aim: what is asked for.
            written: queries that there are for this aim.
        """
        random = Random(request_seed(self.seed, f"examples {number}", 0))  # noqa: S311 - chooses examples
        return self._chat(aim, written, random) if self.format == "chat" else self._text(aim, random)

    def _chat(self, aim: Aim, written: Sequence[str], random: Random) -> Prompt:
        seeds = [query.text for query in self.seeds if aim.label in (None, query.reference)]
        others = [query.text for query in self.seeds if query.text not in seeds]
        shown = [*_some(seeds, SHOWN // 2, random), *_some(written, SHOWN // 2, random)]
        shown += _some(others, SHOWN // 2 - len(shown), random)
        ask = f"Write {ASKED} messages"
        if aim.label is not None:
            ask += f" to which the assistant's right answer is: {aim.label}"
        elif aim.rule is not None:
            ask += f" for which this part of the prompt matters: {aim.rule}"
        if shown:
            random.shuffle(shown)
            ask = "\n".join(
                ["Messages that there are already:", *map(_line, shown), "", f"{ask}\nNone of them is there already."]
            )
        system = INSTRUCTION.replace("{prompt}", self.prompt)
        return Messages((Message("system", system), Message("user", ask)))

    def _text(self, aim: Aim, random: Random) -> Prompt:
        """Return examples, the answer before the query where there are labels, and the start of another one."""
        query, answer = self.frame.query, self.frame.answer
        if aim.label is None:
            shown = _some([seed.text for seed in self.seeds], SHOWN, random)
            return Text("".join(f"{query} {_line(text)}\n" for text in shown) + query)
        same = [seed for seed in self.seeds if seed.reference == aim.label]
        others = [seed for seed in self.seeds if seed.reference not in (None, aim.label)]
        pairs = [*_some(same, SHOWN // 2, random), *_some(others, SHOWN // 2, random)]
        random.shuffle(pairs)
        blocks = [f"{answer} {pair.reference}\n{query} {_line(pair.text)}\n\n" for pair in pairs]
        return Text("".join(blocks) + f"{answer} {aim.label}\n{query}")


def _some(items: Sequence[T], count: int, random: Random) -> list[T]:
    return random.sample(items, min(max(count, 0), len(items)))


def _line(text: str) -> str:
    return " ".join(text.split())
