"""Validates chat completion requests: what is not supported is rejected with a reason, never silently ignored."""

from collections.abc import Mapping
from typing import Any

from jinja2 import TemplateError

from pdistill.backends.local.export.transformers_export import TransformersExport

SUPPORTED_FIELDS = ("model", "messages", "stream", "max_tokens", "max_completion_tokens", "n", "stop")
IGNORED_FIELDS = ("temperature", "top_p", "seed", "user", "metadata", "store", "stream_options", "service_tier")
"""Fields that many clients always send; the student decodes greedily, whatever they say."""

NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "frequency_penalty": (None, 0),
    "presence_penalty": (None, 0),
    "repetition_penalty": (None, 1),
    "logit_bias": (None, {}),
    "logprobs": (None, False),
    "top_logprobs": (None, 0),
    "tools": (None, []),
    "tool_choice": (None, "none", "auto"),
    "functions": (None, []),
    "parallel_tool_calls": (None, True, False),
    "response_format": (None, {"type": "text"}),
    "modalities": (None, ["text"]),
}
"""Values of other fields that ask for nothing; many clients send them."""
SYSTEM_ROLES = ("system", "developer")
SHOWN = 60
"""Characters that a message repeats of a value."""
MAX_STOP_TEXTS = 4
"""Most stop sequences of one request, as many as OpenAI allows."""


class RequestError(Exception):
    """A request that is rejected, with an HTTP status, a reason, and OpenAI's code for it."""

    def __init__(self, status: int, reason: str, code: str | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.code = code


def error_content(status: int, message: str, code: str | None = None) -> dict[str, Any]:
    """Return an error as OpenAI's API tells it."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def handler_arguments(
    body: Any, export: TransformersExport, name: str, *, ignore_system: bool = False
) -> dict[str, Any]:
    """Return the arguments for transformers' handler, and whether a stream tells the numbers of tokens.

    Raises:
        RequestError: the request can't be answered as it is.
    """
    if not isinstance(body, dict):
        raise RequestError(400, "the request is not a JSON object")
    neutral = {key for key, values in NEUTRAL.items() if body.get(key) in values}
    unknown = sorted(set(body) - {*SUPPORTED_FIELDS, *IGNORED_FIELDS, *neutral})
    if unknown:
        raise RequestError(400, f"unknown field {_shortened(unknown[0])}; choose from {', '.join(SUPPORTED_FIELDS)}")
    if body.get("model") != name:
        raise RequestError(
            404, f"there is no model {_shortened(body.get('model'))}; there is '{name}'", "model_not_found"
        )
    if body.get("n") not in (None, 1):
        raise RequestError(400, "n must be 1: greedy answers are all the same")
    if body.get("stream") not in (None, True, False):
        raise RequestError(400, "stream must be true or false")
    messages = _messages(body.get("messages"), ignore_system)
    max_tokens, stop = _max_tokens(body, export), _stop(body.get("stop"))
    _check_length(messages, max_tokens, export)
    return {
        "messages": messages,
        "stream": bool(body.get("stream")),
        "include_usage": _include_usage(body.get("stream_options")),
        "max_completion_tokens": max_tokens,
        "stop": stop,
    }


def _include_usage(options: Any) -> bool:
    if options is not None and not isinstance(options, Mapping):
        raise RequestError(400, "stream_options must be an object")
    return bool(options and options.get("include_usage"))


def _messages(messages: Any, ignore_system: bool) -> list[dict[str, str]]:
    read = [_message(message) for message in messages] if isinstance(messages, list) else []
    if ignore_system:
        read = [message for message in read if message["role"] not in SYSTEM_ROLES]
    if not read:
        raise RequestError(400, "messages must be a list with at least one message")
    return read


def _message(message: Any) -> dict[str, str]:
    if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
        raise RequestError(400, "a message must be an object with a role")
    content = message.get("content")
    if isinstance(content, list) and all(isinstance(part, Mapping) and part.get("type") == "text" for part in content):
        texts = [part.get("text") for part in content]
        content = "".join(texts) if all(isinstance(text, str) for text in texts) else None
    if not isinstance(content, str):
        raise RequestError(400, "a message's content must be text")
    return {"role": message["role"], "content": content.encode(errors="replace").decode()}


def _max_tokens(body: Mapping[str, Any], export: TransformersExport) -> int:
    values = [body[key] for key in ("max_completion_tokens", "max_tokens") if body.get(key) is not None]
    value = values[0] if values else export.settings.max_new_tokens
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise RequestError(400, f"max_completion_tokens must be a positive integer, not {_shortened(value)}")
    return value


def _stop(value: Any) -> list[str]:
    stop = [] if value is None else [value] if isinstance(value, str) else value
    if (
        not isinstance(stop, list)
        or len(stop) > MAX_STOP_TEXTS
        or not all(isinstance(text, str) and text for text in stop)
    ):
        raise RequestError(
            400, f"stop must be a string or a list of at most {MAX_STOP_TEXTS} strings, none of them empty"
        )
    return stop


def _shortened(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}..."


def _check_length(messages: list[dict[str, str]], max_tokens: int, export: TransformersExport) -> None:
    try:
        tokens = len(export.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False))
    except TemplateError as error:
        has_system = any(message["role"] in SYSTEM_ROLES for message in messages)
        advice = "; leave it out, or start the server with --ignore-system" if has_system else ""
        raise RequestError(400, f"the student's chat template rejects the messages: {error}{advice}") from None
    context = getattr(export.model.config.get_text_config(), "max_position_embeddings", None)
    if context is not None and tokens + max_tokens > context:
        raise RequestError(
            400,
            f"{tokens:,} tokens of messages and up to {max_tokens:,} of answer exceed the model's context of {context:,}",
            "context_length_exceeded",
        )
