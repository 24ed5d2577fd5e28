"""Converts prompts to request fields, and responses to completions."""

from typing import Any

from pdistill.backends.openai.connection import Connection
from pdistill.backends.openai.failures import detail
from pdistill.core.contract.interfaces import prompt_tokens
from pdistill.core.contract.prompts import Message, Messages, Prompt
from pdistill.core.contract.sampling import Completion, Finish, Sampling
from pdistill.core.errors import BackendError

FINISHED_REASONS = (None, "stop", "eos", "eos_token", "stop_sequence", "end_turn")
LENGTH_REASONS = ("length", "max_tokens")


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
        BackendError: the response contains no answer.
    """
    choices = getattr(answer, "choices", None)
    if not choices:
        reason = getattr(answer, "error", None) or f"{answer}"
        raise BackendError(
            f"the service at {connection.url} returned no answer ({detail(ValueError(reason))}); run the command again, "
            "everything done so far is saved"
        )
    text, refused = _text_and_refusal(choices[0])
    reason = getattr(choices[0], "finish_reason", None)
    finish: Finish = (
        "length" if reason in LENGTH_REASONS else "stop" if reason in FINISHED_REASONS and not refused else "error"
    )
    usage = getattr(answer, "usage", None)
    prompt_count, answer_count = (getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens"))
    if prompt_count is None or answer_count is None:
        connection.notices.warn("usage", "the service does not count tokens; using the largest possible counts")
    return Completion(
        text,
        finish,
        prompt_tokens(None, prompt) if prompt_count is None else int(prompt_count),
        sampling.max_tokens if answer_count is None else int(answer_count),
    )


def cut_at_stop_texts(completion: Completion, sampling: Sampling) -> Completion:
    """Return the answer, cut at the first of the sampling's stop sequences."""
    text, ended = sampling.cut(completion.text)
    finish: Finish = "stop" if ended and completion.finish == "length" else completion.finish
    return Completion(text, finish, completion.prompt_tokens, completion.tokens)


def _valid_unicode(text: str) -> str:
    return text.encode(errors="replace").decode()


def _text_and_refusal(choice: Any) -> tuple[str, bool]:
    """Return the text of a choice, and whether it is a refusal; the model's reasoning is not part of it."""
    message = getattr(choice, "message", None)
    if message is None:
        return getattr(choice, "text", None) or "", False
    refusal = getattr(message, "refusal", None)
    return (refusal, True) if refusal else (getattr(message, "content", None) or "", False)
