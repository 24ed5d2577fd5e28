"""What a request asks a model with, and what its answer says."""

from typing import Any

from pdistill.backends.openai.connection import Connection
from pdistill.backends.openai.failures import detail
from pdistill.core.contract.interfaces import prompt_tokens
from pdistill.core.contract.prompts import Message, Messages, Prompt
from pdistill.core.contract.sampling import Completion, Finish, Sampling
from pdistill.core.errors import BackendError

ENDED = (None, "stop", "eos", "eos_token", "stop_sequence", "end_turn")
CUT_OFF = ("length", "max_tokens")


def as_chat(prompt: Prompt) -> Messages:
    """Return a prompt as chat messages; text becomes one user message."""
    return prompt if isinstance(prompt, Messages) else Messages((Message("user", prompt.text),))


def asked(prompt: Prompt) -> tuple[bool, dict[str, Any]]:
    """Return whether a prompt is asked by chat completions, and the field that holds it."""
    if isinstance(prompt, Messages):
        said = [{"role": message.role, "content": _sendable(message.content)} for message in prompt.messages]
        return True, {"messages": said}
    return False, {"prompt": _sendable(prompt.text)}


def read(answer: Any, prompt: Prompt, sampling: Sampling, connection: Connection) -> Completion:
    """Return an answer as the service gave it; what it does not count is taken for the most that it can be.

    Raises:
        BackendError: there is none in it.
    """
    choices = getattr(answer, "choices", None)
    if not choices:
        said = getattr(answer, "error", None) or f"{answer}"
        raise BackendError(
            f"the service at {connection.url} gave no answer ({detail(ValueError(said))}); run the command again, "
            "all that was done is kept"
        )
    text, refused = _said(choices[0])
    reason = getattr(choices[0], "finish_reason", None)
    finish: Finish = "length" if reason in CUT_OFF else "stop" if reason in ENDED and not refused else "error"
    usage = getattr(answer, "usage", None)
    given, drawn = (getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens"))
    if given is None or drawn is None:
        connection.notices.say("usage", "the service does not count tokens; counted is the most that they can be")
    return Completion(
        text,
        finish,
        prompt_tokens(None, prompt) if given is None else int(given),
        sampling.max_tokens if drawn is None else int(drawn),
    )


def cut(drawn: Completion, sampling: Sampling) -> Completion:
    """Return an answer that ends where the sampling's stop texts say."""
    text, ended = sampling.cut(drawn.text)
    finish: Finish = "stop" if ended and drawn.finish == "length" else drawn.finish
    return Completion(text, finish, drawn.prompt_tokens, drawn.tokens)


def _sendable(text: str) -> str:
    return text.encode(errors="replace").decode()


def _said(choice: Any) -> tuple[str, bool]:
    """Return a choice's words, and whether they are a refusal; what the model thought is no part of them."""
    message = getattr(choice, "message", None)
    if message is None:
        return getattr(choice, "text", None) or "", False
    refusal = getattr(message, "refusal", None)
    return (refusal, True) if refusal else (getattr(message, "content", None) or "", False)
