"""A toy tokenizer without a vocabulary file, which round-trips any text."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import sha256

from pdistill.core.contract.batches import TokenIds
from pdistill.core.contract.prompts import Message, Messages, Prompt
from pdistill.core.errors import BackendError

EOS, END, SYSTEM, USER, ASSISTANT = range(5)
SPECIAL = ("<|eos|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
ROLES = {"system": SYSTEM, "user": USER, "assistant": ASSISTANT}
PIECE = re.compile(r" ?[A-Za-z]{1,6}|.", re.DOTALL)


def encode(text: str) -> list[int]:
    """Return the ids of a text: its pieces, read as integers of at most 8 bytes."""
    return list(map(_token, PIECE.findall(text)))


@lru_cache(maxsize=1 << 14)
def _token(piece: str) -> int:
    return int.from_bytes(b"\1" + piece.encode("utf-8", "surrogatepass"))


@lru_cache(maxsize=1 << 14)
def piece_of(token: int) -> str:
    """Return the text of one id."""
    if token < len(SPECIAL):
        return SPECIAL[token]
    return token.to_bytes((token.bit_length() + 7) // 8)[1:].decode("utf-8", "surrogatepass")


def decode(ids: TokenIds) -> str:
    """Return the text of ids, with a newline for each special token."""
    return "".join("\n" if token < len(SPECIAL) else piece_of(token) for token in ids)


@lru_cache(maxsize=256)
def count_shared(text: str) -> int:
    """Return the number of tokens of a text that many requests share."""
    return len(PIECE.findall(text))


def count(prompt: Prompt) -> tuple[int, int]:
    """Return how many tokens `prompt_ids` has before the last message's text, and from there on."""
    if not isinstance(prompt, Messages):
        return 0, len(PIECE.findall(prompt.text))
    *before, last = prompt.messages
    shared = sum([count_shared(message.content) + 2 for message in before])
    return shared, len(PIECE.findall(last.content)) + 3


@lru_cache(maxsize=8)
def _rendered(messages: tuple[Message, ...]) -> tuple[int, ...]:
    """Return the ids of messages that many prompts begin with."""
    return tuple(token for each in messages for token in (ROLES[each.role], *encode(each.content), END))


class FakeRenderer:
    """Renders prompts to ids: one token per six Latin letters with the space before them, or per other character.

    Args:
        has_chat_template: whether chat messages can be rendered.
    """

    def __init__(self, has_chat_template: bool = True) -> None:
        self.has_chat_template = has_chat_template

    def prompt_ids(self, prompt: Prompt) -> list[int]:
        """Return the ids of a prompt.

        Raises:
            BackendError: chat messages for a model without a chat template.
        """
        if not isinstance(prompt, Messages):
            return encode(prompt.text)
        if not self.has_chat_template:
            raise BackendError(
                "the fake model has no chat template; use --format text, or leave out -B chat_template=false"
            )
        *before, last = prompt.messages
        return [*_rendered(tuple(before)), ROLES[last.role], *encode(last.content), END, ASSISTANT]

    def target_ids(self, prompt: Prompt, target: str) -> list[int]:
        """Return the ids of an answer and its end token; after a plain text it begins with a space, as in `spaced`."""
        if isinstance(prompt, Messages):
            return [*encode(target), END]
        return [*encode(spaced(prompt.text, target)), EOS]

    def pieces(self, ids: TokenIds) -> list[str]:
        """Return the text of each id."""
        return [piece_of(token) for token in ids]

    def identity(self) -> Mapping[str, str]:
        """Return hashes of the rule that splits text into pieces, and of the chat template."""
        template = _digest([f"{role}{END}" for role in ROLES]) if self.has_chat_template else "none"
        return {"vocabulary": _digest([PIECE.pattern, *SPECIAL]), "template": template, "thinking": "none"}


def spaced(before: str, answer: str) -> str:
    """Return an answer as it follows a plain text: with a space before it, unless there is whitespace already."""
    return answer if before[-1:].isspace() or answer[:1].isspace() else f" {answer}"


def _digest(parts: Sequence[str]) -> str:
    return sha256("\n".join(parts).encode()).hexdigest()[:16]
