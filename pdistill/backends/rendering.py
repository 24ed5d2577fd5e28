"""Turns prompts into token ids by a model's tokenizer and chat template: the one way for all backends that have them."""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from pdistill.core.contract.batches import TokenIds
from pdistill.core.contract.prompts import Messages, Prompt
from pdistill.core.errors import BackendError

ANSWER = "An answer."
LONGEST_CHARACTER = 4
"""Tokens that one character can be made of: its bytes in UTF-8."""


class TemplateRenderer:
    """Renders with one tokenizer.

    Args:
        tokenizer: a transformers tokenizer.
        name: the model's name, for error messages.
        thinking: what the chat template gets as `enable_thinking`.
    """

    def __init__(self, tokenizer: Any, name: str, thinking: bool = False) -> None:
        self.tokenizer = tokenizer
        self.name = name
        self.thinking = thinking
        self.has_chat_template = tokenizer.chat_template is not None

    def prompt_ids(self, prompt: Prompt) -> TokenIds:
        """Return the ids that the model is asked with: all that stands before its answer.

        Raises:
            BackendError: chat messages for a model without a chat template.
        """
        if isinstance(prompt, Messages):
            messages = [{"role": message.role, "content": message.content} for message in prompt.messages]
            return self._encode(self._template(messages, add_generation_prompt=True), special=False)
        ids = self._encode(prompt.text, special=True)
        return ids or [self.start_token]

    def target_ids(self, prompt: Prompt, target: str) -> TokenIds:
        """Return the ids of an answer and its end token, to be joined to `prompt_ids(prompt)`.

        In text the answer gets a leading space, unless the prompt ends in white space.

        Raises:
            BackendError: the tokenizer has no end token.
        """
        if isinstance(prompt, Messages):
            return [*self._continuation(target), self.chat_end_token]
        space = "" if prompt.text[-1:].isspace() else " "
        return [*self._continuation(space + target), self.end_token]

    def pieces(self, ids: TokenIds) -> list[str]:
        """Return a readable text for each id; a character made of several tokens stands at its last one."""
        pieces, begun = [], []
        for token in ids:
            begun.append(token)
            text = self.tokenizer.decode(begun)
            if text.endswith("\ufffd") and len(begun) < LONGEST_CHARACTER:
                pieces.append("")
            else:
                pieces.append(text)
                begun = []
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
            raise BackendError(f"the tokenizer of model '{self.name}' names no end token (eos_token)")
        return int(self.tokenizer.eos_token_id)

    @cached_property
    def chat_end_token(self) -> int:
        """The token that the chat template puts after the assistant's words; else the tokenizer's end token."""
        messages = [{"role": "user", "content": "A question."}, {"role": "assistant", "content": ANSWER}]
        after = self._template(messages, add_generation_prompt=False).rpartition(ANSWER)[2].lstrip()
        ids = self._encode(after, special=False)
        return ids[0] if ids and ids[0] in self.tokenizer.added_tokens_decoder else self.end_token

    def _template(self, messages: list[dict[str, str]], add_generation_prompt: bool) -> str:
        if not self.has_chat_template:
            raise BackendError(f"model '{self.name}' has no chat template; ask it in plain text: --format text")
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
                f"the chat template of model '{self.name}' does not take the messages ({roles}): {error}"
            ) from None

    def _continuation(self, text: str) -> list[int]:
        """Return the ids of `text` as they are within a line: some tokenizers put a space before a text's first word."""
        before = self._encode("\n", special=False)
        ids = self._encode("\n" + text, special=False)
        if ids[: len(before)] == before:
            return ids[len(before) :]
        return self._encode(text, special=False)

    def _encode(self, text: str, special: bool) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=special)["input_ids"])

    @property
    def start_token(self) -> int:
        """The token that an empty text is asked with."""
        start = self.tokenizer.bos_token_id
        return self.end_token if start is None else int(start)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
