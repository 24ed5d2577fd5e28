"""Converts prompts to request fields, and responses to completions."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pdistill.backends.openai.connection import Connection
from pdistill.backends.openai.failures import said, shortened
from pdistill.backends.openai.refusals import NoChoicesError
from pdistill.core.contract.interfaces import prompt_tokens
from pdistill.core.contract.prompts import Message, Messages, Prompt
from pdistill.core.contract.sampling import Completion, Finish, Sampling

FINISHED_REASONS = (
    "", "stop", "eos", "eos_token", "stop_token", "stop_sequence", "end_turn", "end", "complete", "completed", "finished",
)  # fmt: skip
LENGTH_REASONS = ("length", "max_tokens", "max_output_tokens", "model_length")
"""Services' words, in lower case, for an answer that the model ended, and for one that was cut off."""
TEXT_PARTS = (None, "text", "output_text")
"""Types of the parts of an answer that are its text; the others are the model's thoughts, or no text."""


def as_chat(prompt: Prompt) -> Messages:
    """Return a prompt as chat messages; text becomes one user message."""
    return prompt if isinstance(prompt, Messages) else Messages((Message("user", prompt.text),))


def request_fields(prompt: Prompt) -> tuple[bool, dict[str, Any]]:
    """Return whether a prompt goes to the chat completions endpoint, and the request field that contains it."""
    if isinstance(prompt, Messages):
        messages = [{"role": message.role, "content": _valid_unicode(message.content)} for message in prompt.messages]
        return True, {"messages": messages}
    return False, {"prompt": _valid_unicode(prompt.text)}


def parse_answer(answer: Any, prompt: Prompt, sampling: Sampling, connection: Connection) -> Completion:
    """Return the answer in a response; if the service does not count tokens, the largest possible counts are used.

    Raises:
        NoChoicesError: the response contains no answer.
    """
    choices = getattr(answer, "choices", None)
    if not isinstance(choices, list) or not choices:
        more = getattr(answer, "model_extra", None) or {}
        words = (
            said(value) for value in (getattr(answer, "error", None), *more.values()) if isinstance(value, Mapping)
        )
        raise NoChoicesError(next(filter(None, words), "the response has no choices"))
    text, problem = _text_and_problem(choices[0])
    finish, problem = _finish(getattr(choices[0], "finish_reason", None), problem)
    usage = getattr(answer, "usage", None)
    prompt_count, answer_count = (_count(getattr(usage, name, None)) for name in ("prompt_tokens", "completion_tokens"))
    if prompt_count is None or answer_count is None:
        connection.notices.warn("usage", "the service does not count tokens; using the largest possible counts")
    return Completion(
        text,
        finish,
        prompt_tokens(None, prompt) if prompt_count is None else prompt_count,
        sampling.max_tokens if answer_count is None else answer_count,
        problem,
    )


def cut_at_stop_texts(completion: Completion, sampling: Sampling) -> Completion:
    """Return the answer, cut at the first of the sampling's stop sequences."""
    text, ended = sampling.cut(completion.text)
    finish: Finish = "stop" if ended and completion.finish == "length" else completion.finish
    return replace(completion, text=text, finish=finish)


def _valid_unicode(text: str) -> str:
    return text.encode(errors="replace").decode()


def _finish(reason: object, problem: str | None) -> tuple[Finish, str | None]:
    """Return how an answer ended, and why there is none where that is an error."""
    word = reason.lower() if isinstance(reason, str) else "" if reason is None else f"{reason}"
    if word in LENGTH_REASONS:
        return "length", None
    if problem is not None:
        return "error", problem
    return ("stop", None) if word in FINISHED_REASONS else ("error", shortened(f"ended with {word!r}"))


def _text_and_problem(choice: Any) -> tuple[str, str | None]:
    """Return the text of a choice, without the model's reasoning, and what is wrong with it, if anything."""
    message = getattr(choice, "message", None)
    content = getattr(choice, "text", None) if message is None else getattr(message, "content", None)
    refusal = getattr(message, "refusal", None)
    if isinstance(refusal, str) and refusal:
        return refusal, shortened(f"refused: {refusal}")
    if content is None or isinstance(content, str):
        return content or "", None
    if isinstance(content, list):
        return "".join(map(_part_text, content)), None
    return "", shortened(f"the answer is {content!r}, not a text")


def _part_text(part: Any) -> str:
    """Return the text of a part of an answer; empty where it is a thought, or no text."""
    if isinstance(part, str):
        return part
    kind, text = (
        part.get(name) if isinstance(part, Mapping) else getattr(part, name, None) for name in ("type", "text")
    )
    return text if kind in TEXT_PARTS and isinstance(text, str) else ""


def _count(value: object) -> int | None:
    """Return a count of tokens; None if it isn't one."""
    return int(value) if isinstance(value, int | float) and value >= 0 and math.isfinite(value) else None
