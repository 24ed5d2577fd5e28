"""What a model is asked with: chat messages or plain text, and how a prompt file and a query become one of them."""

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from pdistill.core.errors import UsageError

Format = Literal["chat", "text"]
Role = Literal["system", "user", "assistant"]

QUERY_FIELD = "{query}"


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a chat."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Messages:
    """A prompt for a chat model; the model's own chat template turns it into tokens."""

    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Text:
    """A prompt for a base model: plain text that the model goes on with."""

    text: str


Prompt = Messages | Text


def teacher_prompt(prompt: str, query: str, format: Format, earlier: tuple[Message, ...] = ()) -> Prompt:
    """Return the prompt file's text and the query as the teacher is asked with them.

    In a chat the prompt is the system message, or a part of the query's own message where it holds `{query}`; in text
    it holds `{query}`. The field is replaced literally: other braces mean nothing.

    Args:
        earlier: the turns of the conversation before the query.

    Raises:
        UsageError: there are earlier turns in text.
    """
    if format == "chat" and QUERY_FIELD not in prompt:
        return Messages((Message("system", prompt), *earlier, Message("user", query)))
    return framed(prompt, query, format, earlier)


def framed(frame: str, query: str, format: Format, earlier: tuple[Message, ...] = ()) -> Prompt:
    """Return the query in a frame, a text with `{query}` in it: as the last user message, or as plain text.

    Args:
        earlier: the turns of the conversation before the query.

    Raises:
        UsageError: there are earlier turns in text.
    """
    text = frame.replace(QUERY_FIELD, query)
    if format == "chat":
        return Messages((*earlier, Message("user", text)))
    if earlier:
        raise UsageError(f"query {query[:40]!r} has earlier turns, which only --format chat can hold")
    return Text(text)


def check_prompt(prompt: str, frame: str, format: Format) -> None:
    """Guarantee that prompt and frame have a place for the query.

    Raises:
        UsageError: the frame has no `{query}`, or the prompt has none in text.
    """
    if not prompt.strip():
        raise UsageError("the prompt is empty; write what the teacher shall do into the prompt file")
    if format == "text" and QUERY_FIELD not in prompt:
        raise UsageError("the prompt has no '{query}'; with --format text it must show where the query goes")
    if QUERY_FIELD not in frame:
        raise UsageError("the student's prompt has no '{query}'; write {query} where the query goes")


def prompt_hash(prompt: Prompt) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of what the model is asked with, the query included."""
    if isinstance(prompt, Text):
        return hashlib.sha256(json.dumps(prompt.text).encode()).hexdigest()[:16]
    *before, last = prompt.messages
    state = _hashed(tuple(before)).copy()
    state.update(f'["{last.role}", {json.dumps(last.content)}]]'.encode())
    return str(state.hexdigest())[:16]


@lru_cache(maxsize=8)
def _hashed(messages: tuple[Message, ...]) -> Any:
    """Return the hash, begun, of the messages that many prompts begin with."""
    begun = "".join(f'["{message.role}", {json.dumps(message.content)}], ' for message in messages)
    return hashlib.sha256(f"[{begun}".encode())
