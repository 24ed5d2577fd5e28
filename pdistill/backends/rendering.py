"""Renders prompts to token ids with a model's tokenizer and chat template, in the same way for all backends that have them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property, lru_cache
from typing import Any

from pdistill.backends.template_day import dated, writes_today
from pdistill.core.contract.batches import TokenIds
from pdistill.core.contract.prompts import Messages, Prompt
from pdistill.core.errors import BackendError, TargetError

QUESTION, ANSWER = "A question.", "An answer."
TAIL = 512
"""Characters at the end of a prompt that can influence how the answer after it is split into tokens."""
CACHED_ANSWERS = 1 << 14
MAX_CHARACTER_TOKENS = 4
"""Most tokens of one character: its bytes in UTF-8."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """What a template puts around an answer.

    Args:
        opening: the text that asks for the answer, where it begins with a token that text is split at; else empty.
        lead: the text between it and the answer.
        trail: the text after the answer.
    """

    opening: str
    lead: str
    trail: str


class TemplateRenderer:
    """Renders with one tokenizer.

    Args:
        tokenizer: a transformers tokenizer.
        name: the model's name, for error messages.
        thinking: the value of `enable_thinking` for the chat template.
        day: the date that a chat template writes, if it does; None: today.
        embeddings: tokens that the model has embeddings for; None where that is unknown.
    """

    def __init__(
        self,
        tokenizer: Any,
        name: str,
        thinking: bool = False,
        day: date | None = None,
        embeddings: int | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.name = name
        self.thinking = thinking
        self.day = day
        self.embeddings = embeddings
        self.has_chat_template = tokenizer.chat_template is not None
        self._turns: dict[tuple[str, ...], _Turn] = {}
        self._following = lru_cache(maxsize=CACHED_ANSWERS)(self._follow)

    def prompt_ids(self, prompt: Prompt) -> TokenIds:
        """Return the ids of a prompt: everything before the model's answer.

        Raises:
            BackendError: chat messages for a model without a chat template.
        """
        if isinstance(prompt, Messages):
            return self._encode(self._prompt_text(prompt), special=False)
        ids = self._encode(prompt.text, special=True)
        return ids or [self.start_token]

    def target_ids(self, prompt: Prompt, target: str) -> TokenIds:
        """Return the ids of an answer and its end token, to be appended to `prompt_ids(prompt)`.

        In a chat they are what the template itself puts after the prompt, whitespace included, wherever its finished
        conversation continues the prompt's ids with nothing but the answer. After a plain text the answer gets a leading
        space, unless the text ends in whitespace.

        Raises:
            BackendError: the tokenizer has no end token.
            TargetError: the tokenizer has no ids for the answer, such as for a character that it normalizes.
        """
        if isinstance(prompt, Messages):
            turn = self._turn(tuple(message.role for message in prompt.messages))
            before = turn.opening or self._prompt_text(prompt)[-TAIL:]
            return list(self._following(before, turn.lead, target, turn.trail, self.chat_end_token))
        lead = "" if prompt.text[-1:].isspace() else " "
        return list(self._following(prompt.text[-TAIL:], lead, target, "", self.end_token))

    def answer(self, ids: TokenIds) -> str:
        """Return the text of a model's answer, which begins after what the template puts before it, as gpt-oss's final channel.

        Other special tokens remain in the text, so that what is around them is not glued together.
        """
        rest = self._after_start(ids)
        return self._decode(rest, skip_special_tokens=not self._special_tokens.intersection(rest))

    def text(self, ids: TokenIds) -> str:
        """Return the text of an answer, without what the template puts before it and without special tokens."""
        return self._decode(self._after_start(ids), skip_special_tokens=True)

    def holds_special_tokens(self, text: str) -> bool:
        """Return whether a special token is written out in a text."""
        return any(token in text for token in self._special_texts)

    def written(self, ids: TokenIds) -> str:
        """Return the text of ids as it follows other text, with a space that a tokenizer puts before a first word."""
        before = self._encode("x", special=False)
        return self.text([*before, *ids])[len(self.text(before)) :]

    def pieces(self, ids: TokenIds) -> list[str]:
        """Return readable text for each id; a character of several tokens is at the last one."""
        pieces, pending = [], []
        before = self._encode("x", special=False)
        start = len(self.tokenizer.decode(before))
        for token in ids:
            pending.append(token)
            text = self.tokenizer.decode([*before, *pending])[start:]
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

    def dated_template(self) -> str:
        """Return the chat template, with the renderer's day in place of today's date.

        Raises:
            BackendError: it writes a date in a form that is not a constant.
        """
        if self.day is not None and writes_today(self._chat_template):
            raise BackendError(
                f"can't export this student: the chat template of model '{self.name}' writes today's date in a form that is not "
                "a constant"
            )
        return self._chat_template

    @cached_property
    def _chat_template(self) -> str:
        template = str(self.tokenizer.get_chat_template())
        return template if self.day is None else dated(template, self.day)

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
        messages = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}]
        after = self._template(messages, add_generation_prompt=False).rpartition(ANSWER)[2].lstrip()
        ids = self._encode(after, special=False)
        return ids[0] if ids and ids[0] in self.tokenizer.added_tokens_decoder else self.end_token

    @cached_property
    def answer_start(self) -> tuple[int, ...]:
        """The ids with which a model begins an answer itself, if the template has special tokens there, as gpt-oss's channels."""
        if not self.has_chat_template:
            return ()
        ids = self._encode(self._turn(("user",)).lead, special=False)
        return tuple(ids) if self._special_tokens.intersection(ids) else ()

    def _after_start(self, ids: TokenIds) -> list[int]:
        start = self.answer_start
        last = len(ids) - len(start)
        at = next((at for at in range(last, -1, -1) if tuple(ids[at : at + len(start)]) == start), None)
        return list(ids if not start or at is None else ids[at + len(start) :])

    def _decode(self, ids: TokenIds, skip_special_tokens: bool) -> str:
        decode = self.tokenizer.decode
        return str(decode(list(ids), skip_special_tokens=skip_special_tokens, clean_up_tokenization_spaces=False))

    @cached_property
    def _special_texts(self) -> tuple[str, ...]:
        return tuple(added.content for added in self.tokenizer.added_tokens_decoder.values() if added.special)

    @cached_property
    def _special_tokens(self) -> frozenset[int]:
        return frozenset(token for token, added in self.tokenizer.added_tokens_decoder.items() if added.special)

    def _prompt_text(self, prompt: Messages) -> str:
        messages = [message.as_row() for message in prompt.messages]
        return self._template(messages, add_generation_prompt=True)

    def _turn(self, roles: tuple[str, ...]) -> "_Turn":
        """Return what the template puts around an answer to messages of these roles.

        Where it renders them differently once they are answered, it is what it puts around an answer to a single message.
        """
        if roles not in self._turns:
            self._turns[roles] = self._turn_of(roles) or self._turn_of(roles[-1:]) or _Turn("", "", "")
        return self._turns[roles]

    def _turn_of(self, roles: tuple[str, ...]) -> "_Turn | None":
        messages = [{"role": role, "content": QUESTION} for role in roles]
        try:
            asked = self._template(messages, add_generation_prompt=True)
            answered = self._template(
                [*messages, {"role": "assistant", "content": ANSWER}], add_generation_prompt=False
            )
            opening = asked.removeprefix(self._template(messages, add_generation_prompt=False))
        except BackendError:
            return None
        if not answered.startswith(asked):
            return None
        lead, _, trail = answered[len(asked) :].rpartition(ANSWER)
        first = self._encode(opening, special=False)[:1]
        anchored = opening != asked and bool(first) and first[0] in self.tokenizer.added_tokens_decoder
        return _Turn(opening if anchored else "", lead, trail)

    def _follow(self, before: str, lead: str, target: str, trail: str, end: int) -> tuple[int, ...]:
        """Return the ids of an answer after the text `before`, with the end token.

        Raises:
            TargetError: the tokenizer has no ids for the answer.
        """
        for context, text in (
            (before, lead + target + trail),
            (before, lead + target),
            (before, target),
            ("\n", target),
            ("", target),
        ):
            known = self._encode(context, special=False) if context else []
            ids = self._encode(context + text, special=False)
            if ids[: len(known)] != known:
                continue
            answer = ids[len(known) :]
            answer = answer[: answer.index(end)] if end in answer else answer
            if self.text(answer).strip() == target.strip() and (end in ids or text.endswith(target)):
                return (*answer, end)
        raise TargetError(self.name, target, (*self._encode(target, special=False), end))

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
                    chat_template=self._chat_template,
                )
            )
        except TemplateError as error:
            roles = [message["role"] for message in messages]
            way_out = (
                "; write {query} into the prompt file, so that both are one user message" if "system" in roles else ""
            )
            raise BackendError(
                f"the chat template of model '{self.name}' rejects the messages ({', '.join(roles)}): {error}{way_out}"
            ) from None

    def _encode(self, text: str, special: bool) -> list[int]:
        ids = list(self.tokenizer(text, add_special_tokens=special)["input_ids"])
        if self.embeddings is not None and max(ids, default=0) >= self.embeddings:
            token = self.tokenizer.convert_ids_to_tokens(max(ids))
            raise BackendError(
                f"the tokenizer of model '{self.name}' has the token {token!r}, number {max(ids):,}, but the model has embeddings "
                f"for {self.embeddings:,} tokens only; use the tokenizer that belongs to it"
            )
        return ids

    @property
    def start_token(self) -> int:
        """The token that stands for an empty text."""
        start = self.tokenizer.bos_token_id
        return self.end_token if start is None else int(start)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
