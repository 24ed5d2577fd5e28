"""The questions of the probes that ship with the package, one file per probe."""

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

from pdistill.core.contract.jsontext import JsonObject

FOLDER = files(__name__)
NAMES = ("leakage", "retention", "injection", "welcome")
OTHER_PROMPT = "Go on with the user's text in its own language and manner. Add nothing else."


def is_probe(text: str) -> bool:
    """Return whether a text is a question of a probe, the last line of one, or the prompt that it is sent with."""
    return bool(text) and any(question.endswith(text) for question in _questions())


@cache
def _questions() -> tuple[str, ...]:
    rows = [row for probe in NAMES for row in shipped(probe)]
    asked = [query for row in rows for query in (row["queries"] if "queries" in row else [row["query"]])]
    return (OTHER_PROMPT, *asked)


def shipped(name: str) -> Iterator[JsonObject]:
    """Yield the questions of a probe that ship with the package."""
    for line in (FOLDER / f"{name}.jsonl").read_text("utf-8").splitlines():
        yield json.loads(line)
