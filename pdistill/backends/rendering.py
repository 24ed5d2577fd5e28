"""Renders prompts to token ids with a model's tokenizer and chat template, in the same way for all backends that have them."""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from pdistill.core.contract.batches import TokenIds
from pdistill.core.contract.prompts import Messages, Prompt
from pdistill.core.errors import BackendError

ANSWER = "An answer."
MAX_CHARACTER_TOKENS = 4
"""Most tokens of one character: its bytes in UTF-8."""


class TemplateRenderer:
    """Renders with one tokenizer.

    Args:
        tokenizer: a transformers tokenizer.
        name: the model's name, for error messages.
        thinking: the value of `enable_thinking` for the chat template.
    """

    def __init__(self, tokenizer: Any, name: str, thinking: bool = False) -> None:
        self.tokenizer = tokenizer
        self.name = name
        self.thinking = thinking
        self.has_chat_template = tokenizer.chat_template is not None

    def prompt_ids(self, prompt: Prompt) -> TokenIds:
        """Return the ids of a prompt: everything before the model's answer.

        Raises:
            BackendError: chat messages for a model without a chat template.
        """
        if isinstance(prompt, Messages):
            messages = [{"role": message.role, "content": message.content} for message in prompt.messages]
            return self._encode(self._template(messages, add_generation_prompt=True), special=False)
        ids = self._encode(prompt.text, special=True)
        return ids or [self.start_token]

    def target_ids(self, prompt: Prompt, target: str) -> TokenIds:
        """Return the ids of an answer and its end token, to be appended to `prompt_ids(prompt)`.

        After a plain text the answer gets a leading space, unless the text ends in whitespace.

        Raises:
            BackendError: the tokenizer has no end token.
        """
        if isinstance(prompt, Messages):
            return [*self._continuation(target), self.chat_end_token]
        space = "" if prompt.text[-1:].isspace() else " "
        return [*self._continuation(space + target), self.end_token]

    def pieces(self, ids: TokenIds) -> list[str]:
        """Return readable text for each id; a character of several tokens is at the last one."""
        pieces, pending = [], []
        for token in ids:
            pending.append(token)
            text = self.tokenizer.decode(pending)
            if text.endswith("\ufffd") and len(pending) < MAX_CHARACTER_TOKENS:
                pieces.append("")
            else:
                pieces.append(text)
                pending = []
        return pieces

    def identity(self) -> Mapping[str, str]:
        """Return hashes of the vocabulary and of the chat template, and the thinking mode."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        vocabulary = backend.to_str() if backend is not None else repr(sorted(self.tokenizer.get_vocab().items()))
        return {
            "vocabulary": _hash(vocabulary),
            "template": _hash(self.tokenizer.chat_template) if self.has_chat_template else "none",
            "thinking": "on" if self.thinking else "off",
        }

    @property
    def end_token(self) -> int:
        """The tokenizer's end token.

        Raises:
            BackendError: it has none.
        """
        if self.tokenizer.eos_token_id is None:
            raise BackendError(f"the tokenizer of model '{self.name}' has no end token (eos_token)")
        return int(self.tokenizer.eos_token_id)

    @cached_property
    def chat_end_token(self) -> int:
        """The token that the chat template puts after the assistant's message, or else the tokenizer's end token."""
        messages = [{"role": "user", "content": "A question."}, {"role": "assistant", "content": ANSWER}]
        after = self._template(messages, add_generation_prompt=False).rpartition(ANSWER)[2].lstrip()
        ids = self._encode(after, special=False)
        return ids[0] if ids and ids[0] in self.tokenizer.added_tokens_decoder else self.end_token

    def _template(self, messages: list[dict[str, str]], add_generation_prompt: bool) -> str:
        if not self.has_chat_template:
            raise BackendError(f"model '{self.name}' has no chat template; use plain text: --format text")
        from jinja2 import TemplateError

        try:
            return str(
                self.tokenizer.apply_chat_template(
                    messages,
                    tokenize=False,
                    add_generation_prompt=add_generation_prompt,
                    enable_thinking=self.thinking,
                )
            )
        except TemplateError as error:
            roles = ", ".join(message["role"] for message in messages)
            raise BackendError(
                f"the chat template of model '{self.name}' rejects the messages ({roles}): {error}"
            ) from None

    def _continuation(self, text: str) -> list[int]:
        """Return the ids of `text` as a continuation: some tokenizers put a space before the first word of a text."""
        before = self._encode("\n", special=False)
        ids = self._encode("\n" + text, special=False)
        if ids[: len(before)] == before:
            return ids[len(before) :]
        return self._encode(text, special=False)

    def _encode(self, text: str, special: bool) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=special)["input_ids"])

    @property
    def start_token(self) -> int:
        """The token that stands for an empty text."""
        start = self.tokenizer.bos_token_id
        return self.end_token if start is None else int(start)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
