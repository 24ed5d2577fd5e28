"""Extracts queries from what a model wrote: one per line, without numbers, quotes and other marks around them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pdistill.core.escape import HARMFUL

MAX_CHARACTERS = 2_000
"""The most characters of a query."""
MIN_ECHO_CHARACTERS = 20
"""The fewest characters of a line of the prompt that are not in a query by coincidence."""

CUT = "cut off at the token limit"
NO_ANSWER = "the backend gave no answer"
MARKUP = "markup alone"
HEADING = "introduces the others"
TOO_LONG = f"longer than {MAX_CHARACTERS:,} characters"
DAMAGED = "control or damaged characters"
TEMPLATE = "marks of a chat template"
GIVEN_AWAY = "an answer, or names its own"
ECHOED = "repeats the prompt"
LOOPING = "the same words again and again"

NUMBER = re.compile(r"^(?:[-*+\u2022\u2013\u2014]|\(?\d{1,4}[.:)\]]|\(?[a-z][.)])\s+", re.IGNORECASE)
NAMED = re.compile(
    r"^\W{0,2}(?:query|message|user|text|input|question|q)\W{0,2}\s*\d*\W{0,2}:\W{0,2}\s+", re.IGNORECASE
)
ANSWER = re.compile(r"^\W{0,2}(?:answer|assistant|response|label|a)\W{0,2}\s*\d*\W{0,2}:\W{0,2}\s", re.IGNORECASE)
QUOTES = {
    '"': '"',
    "'": "'",
    "`": "`",
    "\u201c": "\u201d",
    "\u201e": "\u201c",
    "\u00ab": "\u00bb",
    "**": "**",
    "<": ">",
}
BARE = re.compile(r"^(?:```.*|[-=_*~#`>|\s]+)$")
MARKS = re.compile(r"<\|[^|<>]*\|>|</?s>|\[/?INST\]|<<?/?SYS>?>|<(?:start|end)_of_turn>")


@dataclass(frozen=True, slots=True)
class Reader:
    """Parses answers to requests for queries.

    Args:
        prompt: the text that a query must not repeat.
        labels: the answers that a query must not contain.
        words: the words before a query in the request, such as "Review:".
    """

    prompt: str
    labels: Sequence[str] = ()
    words: str = ""

    def read(self, text: str, finish: str) -> Iterator[tuple[str, str | None]]:
        """Yield each non-empty line as a query, with the reason why it is not usable or None."""
        if finish == "error":
            yield "", NO_ANSWER
            return
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        listed = 2 * sum(NUMBER.match(line) is not None for line in lines) >= max(2, len(lines))
        for at, line in enumerate(lines, start=1):
            query = self._bare(line, listed)
            cut = finish == "length" and at == len(lines)
            yield query, CUT if cut else self._fault(query)

    def _bare(self, line: str, listed: bool) -> str:
        """Return the line without the number and the words before it and the quotes around it."""
        if listed:
            line = NUMBER.sub("", line)
        if self.words:
            line = line.removeprefix(self.words).strip()
        line = NAMED.sub("", line)
        for opening, closing in QUOTES.items():
            inner = line[len(opening) : -len(closing)]
            if line.startswith(opening) and line.endswith(closing) and inner and not {opening, closing} & {*inner}:
                line = inner.strip()
        return line

    def _fault(self, query: str) -> str | None:
        if not query or BARE.match(query):
            return MARKUP
        if len(query) > MAX_CHARACTERS:
            return TOO_LONG
        if HARMFUL.search(query.replace("\t", " ")) or "\ufffd" in query:
            return DAMAGED
        if MARKS.search(query):
            return TEMPLATE
        if query.endswith(":"):
            return HEADING
        if self._echoes(query):
            return ECHOED
        if ANSWER.match(query) or any(_names(query, label) for label in self.labels):
            return GIVEN_AWAY
        words = query.split()
        return LOOPING if len(words) >= 9 and 3 * len({*words}) <= len(words) else None

    def _echoes(self, query: str) -> bool:
        """Return whether the query contains a line of the prompt, or is part of one."""
        text, prompt = query.casefold(), self.prompt.casefold()
        parts = (line.strip() for line in prompt.splitlines())
        minimum = MIN_ECHO_CHARACTERS
        return (len(text) >= minimum and text in prompt) or any(len(part) >= minimum and part in text for part in parts)


def _names(query: str, label: str) -> bool:
    """Return whether a query is the label, or begins or ends with it, set apart like an answer."""
    name = re.escape(label)
    apart = rf"^{name}\s*(?::|->|\u2192| - |=)|(?::|->|\u2192| - |=)\s*{name}\W?$|[(\[]{name}[)\]]\W?$"
    return query.casefold() == label.casefold() or re.search(apart, query, re.IGNORECASE) is not None
