"""Extracts queries from logs of requests in OpenAI's chat format; the answers are not used."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from itertools import chain, islice
from pathlib import Path

from pdistill.core.contract.jsontext import Row
from pdistill.core.contract.prompts import QUERY_FIELD
from pdistill.core.contract.queryfiles import has_half_pair, read_lines
from pdistill.core.errors import PdistillError, TaskError, UsageError
from pdistill.core.store.rows import write_rows
from pdistill.core.writing.mask import Mask

WRAPPERS = ("request", "body")
"""The keys in which proxies and the batch API store the body of a request."""

Turns = list[dict[str, str]]

NOT_JSON = "not a JSON object"
NO_MESSAGES = "no messages"
NOT_TEXT = "holds more than text"
TOOLS = "calls of tools"
HALF_PAIR = "with half of a surrogate pair"
OTHER_PROMPT = "with another prompt"
NO_QUERY = "nothing that the user said"
DUPLICATE = "asked before"


class RequestLogs:
    """Extracts queries from logs, each only once, and counts the requests left out by reason.

    Args:
        prompt: only requests with this prompt are used; it is the system message or, where it contains `{query}`, the text
            around the query; None: all requests.
        mask: applied to every text that is kept; None: nothing is masked.
    """

    def __init__(self, prompt: str | None = None, mask: Mask | None = None) -> None:
        self.requests = 0
        self.left_out: Counter[str] = Counter()
        self._prompt = None if prompt is None else prompt.strip()
        self.masked: Counter[str] = Counter()
        self._mask = mask
        self._seen: set[bytes] = set()
        self._systems: set[bytes] = set()

    @property
    def selects(self) -> bool:
        """Whether only requests with one prompt are used."""
        return self._prompt is not None

    @property
    def prompts(self) -> int:
        """The number of different system messages, where no message counts as one."""
        return len(self._systems)

    def read(self, paths: Iterable[Path]) -> Iterator[Row]:
        """Yield the rows of a query file; a hash of each query is kept in memory.

        Raises:
            UsageError: a file cannot be read.
        """
        for path in paths:
            for line in read_lines(path):
                if line.strip():
                    self.requests += 1
                    row = self._query(line)
                    if isinstance(row, str):
                        self.left_out[row] += 1
                    else:
                        yield row

    def count(self, paths: Iterable[Path], limit: int | None = None) -> int:
        """Return the number of queries, at most `limit`.

        Raises:
            UsageError: a file cannot be read.
            TaskError: there is no query.
        """
        return sum(1 for _ in self._rows(paths, limit))

    def write(self, paths: Iterable[Path], output: Path, limit: int | None = None) -> int:
        """Return the number of queries written to `output`, at most `limit`.

        Raises:
            UsageError: a file cannot be read, or the output exists already.
            TaskError: there is no query.
            RunError: the output cannot be written.
        """
        if output.exists():
            raise UsageError(f"'{output}' exists already; use another --output")
        rows, count = self._rows(paths, limit), 0

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

    def _rows(self, paths: Iterable[Path], limit: int | None) -> Iterator[Row]:
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
        """Return the query on a line, or the reason why there is none."""
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
        if any(has_half_pair(turn["content"]) for turn in own):
            return HALF_PAIR
        if not own[-1]["content"].strip():
            return NO_QUERY
        kept, counts = self._masked(own)
        key = _hash([" ".join(turn["content"].casefold().split()) for turn in kept])
        if key in self._seen:
            return DUPLICATE
        self._seen.add(key)
        self.masked += counts
        if len(kept) == 1:
            return {"query": kept[0]["content"]}
        return {"messages": kept, "group": _hash(kept[0]["content"]).hex()}

    def _masked(self, turns: Turns) -> tuple[Turns, Counter[str]]:
        """Return the turns with personal data masked, and the count of each kind that was masked."""
        if self._mask is None:
            return turns, Counter()
        kept, counts = [], Counter[str]()
        for turn in turns:
            text, masked = self._mask(turn["content"])
            kept.append({**turn, "content": text})
            counts += masked
        return kept, counts

    def _without_prompt(self, system: str, turns: Turns) -> Turns | None:
        """Return the turns without the prompt, or None where the request has another prompt."""
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
    """Return the system message and the turns up to the user's last one, or the reason why there is no query."""
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
    """Return the text of a message, joined from its parts; None where a part is not text."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    parts = [part.get("text") if isinstance(part, Mapping) else None for part in content]
    return None if not all(isinstance(part, str) for part in parts) else "\n".join(map(str, parts))


def _hash(value: object) -> bytes:
    return blake2b(json.dumps(value).encode(), digest_size=8).digest()
