"""The examples in a few-shot prompt, and the words before its queries and answers."""

import re
from collections import Counter
from dataclasses import dataclass

from pdistill.core.contract.prompts import QUERY_FIELD
from pdistill.core.contract.queries import Query

TEXT, LABEL = "Text:", "Label:"
WORDS = re.compile(r".{0,40}[:>\])=]")
PAIR = re.compile(r"^(\w[^:\n]{0,39}:)[ \t]*\S.*\n(\w[^:\n]{0,39}:)[ \t]*\S.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Frame:
    """The words before a query and before its answer in a few-shot prompt, such as "Review:" and "Sentiment:"."""

    query: str = TEXT
    answer: str = LABEL


def frame_of(prompt: str) -> Frame:
    """Return the words before the last query and answer of the prompt, or the default words where it has none.

    Without {query}, they are the words that most often begin one line and the next.
    """
    before, field, after = prompt.partition(QUERY_FIELD)
    if not field:
        pairs = Counter(words for words in PAIR.findall(prompt) if words[0] != words[1]).most_common(1)
        return Frame(*pairs[0][0]) if pairs and pairs[0][1] > 1 else Frame()
    query = before.rpartition("\n")[2].strip()
    answer = next((line.strip() for line in after.splitlines() if line.strip()), "")
    return Frame(query if WORDS.fullmatch(query) else TEXT, answer if WORDS.fullmatch(answer) else LABEL)


def shots_of(prompt: str) -> list[Query]:
    """Return the queries in a few-shot prompt, with their answers as references."""
    found = _shot(prompt).findall(prompt.partition(QUERY_FIELD)[0])
    return [Query(text.strip(), reference=answer.strip()) for text, answer in found]


def without_shots(prompt: str) -> str:
    """Return the prompt up to {query}, without its examples."""
    return _shot(prompt).sub("", prompt.partition(QUERY_FIELD)[0])


def _shot(prompt: str) -> re.Pattern[str]:
    frame = frame_of(prompt)
    return re.compile(rf"^{re.escape(frame.query)}[ \t]*(\S.*)\n{re.escape(frame.answer)}[ \t]*(\S.*)$", re.MULTILINE)
