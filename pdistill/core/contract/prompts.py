"""The input of a model, as chat messages or plain text, and how a prompt file and a query become one of them."""

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

    def as_row(self) -> dict[str, str]:
        """Return the message as rows, requests and chat templates have it."""
        return {"role": self.role, "content": self.content}


@dataclass(frozen=True, slots=True)
class Messages:
    """A prompt for a chat model; the model's own chat template turns it into tokens."""

    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Text:
    """A prompt for a base model: plain text that the model continues."""

    text: str


Prompt = Messages | Text


def teacher_prompt(prompt: str, query: str, format: Format, earlier: tuple[Message, ...] = ()) -> Prompt:
    """Return the teacher's input: the text of the prompt file and the query.

    In a chat the prompt is the system message, or, where it contains `{query}`, part of the query's own message. In
    text it contains `{query}`. The field is replaced literally: other braces have no meaning.

    Args:
        earlier: the turns of the conversation before the query.

    Raises:
        UsageError: there are earlier turns, and the format is text.
    """
    if format == "chat" and QUERY_FIELD not in prompt:
        return Messages((Message("system", prompt), *earlier, Message("user", query)))
    return framed(prompt, query, format, earlier)


def framed(frame: str, query: str, format: Format, earlier: tuple[Message, ...] = ()) -> Prompt:
    """Return the query in a frame, which is a text that contains `{query}`: as the last user message, or as plain text.

    Args:
        earlier: the turns of the conversation before the query.

    Raises:
        UsageError: there are earlier turns, and the format is text.
    """
    text = frame.replace(QUERY_FIELD, query)
    if format == "chat":
        return Messages((*earlier, Message("user", text)))
    if earlier:
        raise UsageError(f"query {query[:40]!r} has earlier turns, which only --format chat supports")
    return Text(text)


def check_prompt(prompt: str, frame: str, format: Format) -> None:
    """Guarantee that prompt and frame have a place for the query.

    Raises:
        UsageError: the prompt is empty, the frame has no `{query}`, or the format is text and the prompt has none.
    """
    if not prompt.strip():
        raise UsageError("the prompt is empty; write the teacher's instructions into the prompt file")
    if format == "text" and QUERY_FIELD not in prompt:
        raise UsageError("the prompt has no '{query}'; with --format text it must show where the query goes")
    if QUERY_FIELD not in frame:
        raise UsageError("the student's prompt has no '{query}'; write {query} where the query goes")


def prompt_hash(prompt: Prompt) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of the model's input, including the query."""
    if isinstance(prompt, Text):
        return hashlib.sha256(json.dumps(prompt.text).encode()).hexdigest()[:16]
    *before, last = prompt.messages
    state = _prefix_hash(tuple(before)).copy()
    state.update(f'["{last.role}", {json.dumps(last.content)}]]'.encode())
    return str(state.hexdigest())[:16]


@lru_cache(maxsize=8)
def _prefix_hash(messages: tuple[Message, ...]) -> Any:
    """Return the hash state after the messages that many prompts begin with."""
    prefix = "".join(f'["{message.role}", {json.dumps(message.content)}], ' for message in messages)
    return hashlib.sha256(f"[{prefix}".encode())
