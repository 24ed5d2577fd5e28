"""Queries out of the logs of requests in OpenAI's chat format; what was answered is not used."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from itertools import chain, islice
from pathlib import Path
from typing import Any

from pdistill.core.contract.prompts import QUERY_FIELD
from pdistill.core.contract.queryfiles import read_lines
from pdistill.core.errors import PdistillError, TaskError, UsageError
from pdistill.core.store.rows import write_rows
from pdistill.core.writing.mask import Mask

WRAPPERS = ("request", "body")
"""Keys under which proxies and the batch API keep the body of a request."""

Row = dict[str, Any]
Turns = list[dict[str, str]]

NOT_JSON = "not a JSON object"
NO_MESSAGES = "no messages"
NOT_TEXT = "holds more than text"
TOOLS = "calls of tools"
OTHER_PROMPT = "under another prompt"
NO_QUERY = "nothing that the user said"
AGAIN = "asked before"


class RequestLogs:
    """Reads queries out of logs, each once, and counts what is left out and why.

    Args:
        prompt: only requests under this prompt count; it is the system message, or stands around the query where it
            holds `{query}`; None: any.
        mask: is applied to every text that is kept; None: nothing is masked.
    """

    def __init__(self, prompt: str | None = None, mask: Mask | None = None) -> None:
        self.requests = 0
        self.left_out: Counter[str] = Counter()
        self._prompt = None if prompt is None else prompt.strip()
        self.masked: Counter[str] = Counter()
        self._mask = mask
        self._asked: set[bytes] = set()
        self._systems: set[bytes] = set()

    @property
    def selects(self) -> bool:
        """Whether only requests under one prompt count."""
        return self._prompt is not None

    @property
    def prompts(self) -> int:
        """How many different system messages there were, none being one of them."""
        return len(self._systems)

    def read(self, paths: Iterable[Path]) -> Iterator[Row]:
        """Yield rows of a file of queries; of each query a hash is held.

        Raises:
            UsageError: a file can't be read.
        """
        for path in paths:
            for line in read_lines(path):
                if line.strip():
                    self.requests += 1
                    found = self._query(line)
                    if isinstance(found, str):
                        self.left_out[found] += 1
                    else:
                        yield found

    def count(self, paths: Iterable[Path], limit: int | None = None) -> int:
        """Return how many queries there are, `limit` at the most.

        Raises:
            UsageError: a file can't be read.
            TaskError: there is none.
        """
        return sum(1 for _ in self._found(paths, limit))

    def write(self, paths: Iterable[Path], output: Path, limit: int | None = None) -> int:
        """Return how many queries `output` holds now, `limit` at the most.

        Raises:
            UsageError: a file can't be read, or the output is there already.
            TaskError: there is no query.
            RunError: the output can't be written.
        """
        if output.exists():
            raise UsageError(f"'{output}' is there already; take another --output")
        rows, count = self._found(paths, limit), 0

        def counted() -> Iterator[Row]:
            nonlocal count
            for count, row in enumerate(chain([first], rows), start=1):  # noqa: B007
                yield row

        first = next(rows)
        try:
            write_rows(output, counted(), lambda part: None)
        except PdistillError:
            output.with_name(f"{output.name}.part").unlink(missing_ok=True)
            raise
        return count

    def _found(self, paths: Iterable[Path], limit: int | None) -> Iterator[Row]:
        count = 0
        for row in islice(self.read(paths), limit):
            count += 1
            yield row
        if not count:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.left_out.most_common())
            raise TaskError(
                f"no query in {self.requests:,} lines{f' ({reasons})' if reasons else ''}; each line of a log is a request in "
                'OpenAI\'s chat format: {"messages": [...]}'
            )

    def _query(self, line: str) -> Row | str:
        """Return the query that a line holds, or why it holds none."""
        try:
            messages = _messages(json.loads(line))
        except (ValueError, RecursionError):
            return NOT_JSON
        if isinstance(messages, str):
            return messages
        system, turns = messages
        self._systems.add(_hash(system))
        own = self._without_prompt(system, turns)
        if own is None:
            return OTHER_PROMPT
        if not own[-1]["content"].strip():
            return NO_QUERY
        kept, counts = self._masked(own)
        key = _hash([" ".join(turn["content"].casefold().split()) for turn in kept])
        if key in self._asked:
            return AGAIN
        self._asked.add(key)
        self.masked += counts
        if len(kept) == 1:
            return {"query": kept[0]["content"]}
        return {"messages": kept, "group": _hash(kept[0]["content"]).hex()}

    def _masked(self, turns: Turns) -> tuple[Turns, Counter[str]]:
        """Return the turns without what is personal, and how often there was what."""
        if self._mask is None:
            return turns, Counter()
        kept, counts = [], Counter[str]()
        for turn in turns:
            text, found = self._mask(turn["content"])
            kept.append({**turn, "content": text})
            counts += found
        return kept, counts

    def _without_prompt(self, system: str, turns: Turns) -> Turns | None:
        """Return the turns as they are without the prompt, or None where it is not the prompt."""
        if self._prompt is None:
            return turns
        if QUERY_FIELD not in self._prompt:
            return turns if system == self._prompt else None
        before, _, after = self._prompt.partition(QUERY_FIELD)
        *earlier, last = turns
        text = last["content"].strip()
        if not (text.startswith(before) and text.endswith(after) and len(text) > len(before) + len(after)):
            return None
        return [*earlier, {"role": "user", "content": text[len(before) : len(text) - len(after)]}]


def _messages(row: object) -> tuple[str, Turns] | str:
    """Return what the system says, and the turns up to the last one of the user; or why there is no query."""
    if not isinstance(row, Mapping):
        return NOT_JSON
    for key in WRAPPERS:
        inner = row.get(key)
        row = inner if isinstance(inner, Mapping) else row
    messages = row.get("messages")
    if not isinstance(messages, list) or not all(isinstance(message, Mapping) for message in messages):
        return NO_MESSAGES
    system, turns = [], []
    for message in messages:
        role, text = message.get("role"), _text(message.get("content"))
        if role in ("tool", "function") or message.get("tool_calls") or message.get("function_call"):
            return TOOLS
        if text is None:
            return NOT_TEXT
        if role in ("system", "developer"):
            system.append(text)
        elif role in ("user", "assistant"):
            turns.append({"role": role, "content": text})
    while turns and turns[-1]["role"] == "assistant":
        turns.pop()
    return ("\n".join(system).strip(), turns) if turns else NO_QUERY


def _text(content: object) -> str | None:
    """Return a message's text, whole or in parts; None where a part is no text."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    parts = [part.get("text") if isinstance(part, Mapping) else None for part in content]
    return None if not all(isinstance(part, str) for part in parts) else "\n".join(map(str, parts))


def _hash(value: object) -> bytes:
    return blake2b(json.dumps(value).encode(), digest_size=8).digest()
