"""The examples in a few-shot prompt, and the words before its queries and answers."""

import re
from dataclasses import dataclass

from pdistill.core.contract.prompts import QUERY_FIELD
from pdistill.core.contract.queries import Query

TEXT, LABEL = "Text:", "Label:"
WORDS = re.compile(r".{0,40}[:>\])=]")


@dataclass(frozen=True, slots=True)
class Frame:
    """The words before a query and before its answer in a few-shot prompt, such as "Review:" and "Sentiment:"."""

    query: str = TEXT
    answer: str = LABEL


def frame_of(prompt: str) -> Frame:
    """Return the words before the last query and answer of the prompt, or the default words where it has none."""
    before, field, after = prompt.partition(QUERY_FIELD)
    if not field:
        return Frame()
    query = before.rpartition("\n")[2].strip()
    answer = next((line.strip() for line in after.splitlines() if line.strip()), "")
    return Frame(query if WORDS.fullmatch(query) else TEXT, answer if WORDS.fullmatch(answer) else LABEL)


def shots_of(prompt: str) -> list[Query]:
    """Return the queries in a few-shot prompt, with their answers as references."""
    frame, before = frame_of(prompt), prompt.partition(QUERY_FIELD)[0]
    pair = rf"^{re.escape(frame.query)}[ \t]*(\S.*)\n{re.escape(frame.answer)}[ \t]*(\S.*)$"
    return [Query(text.strip(), reference=answer.strip()) for text, answer in re.findall(pair, before, re.MULTILINE)]
