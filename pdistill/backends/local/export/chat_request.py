"""What a chat completion's request may hold: everything else is refused with a reason, nothing is misread in silence."""

from collections.abc import Mapping
from typing import Any

from jinja2 import TemplateError

from pdistill.backends.local.export.transformers_export import TransformersExport

SUPPORTED_FIELDS = ("model", "messages", "stream", "max_tokens", "max_completion_tokens", "n", "stop")
IGNORED_FIELDS = ("temperature", "top_p", "seed", "user", "metadata", "store", "stream_options", "service_tier")
"""Fields that many clients send always; the student decodes greedily, whatever they say."""

MAX_STOP_TEXTS = 4
"""Stop texts of one request, as many as OpenAI takes."""


class RequestError(Exception):
    """A request that is not answered: HTTP status, reason, and OpenAI's code for it."""

    def __init__(self, status: int, reason: str, code: str | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.code = code


def handler_arguments(body: Any, export: TransformersExport, name: str) -> dict[str, Any]:
    """Return what transformers' handler is given.

    Raises:
        RequestError: the request can't be answered as it stands.
    """
    if not isinstance(body, dict):
        raise RequestError(400, "the request is not a JSON object")
    unknown = sorted(set(body) - {*SUPPORTED_FIELDS, *IGNORED_FIELDS})
    if unknown:
        raise RequestError(400, f"unknown field '{unknown[0]}'; choose from {', '.join(SUPPORTED_FIELDS)}")
    if body.get("model") != name:
        raise RequestError(404, f"there is no model {body.get('model')!r}; there is '{name}'", "model_not_found")
    if body.get("n") not in (None, 1):
        raise RequestError(400, "n must be 1: greedy answers are all the same")
    if body.get("stream") not in (None, True, False):
        raise RequestError(400, "stream must be true or false")
    messages = _messages(body.get("messages"))
    most, stop = _most_tokens(body, export), _stop(body.get("stop"))
    _check_length(messages, most, export)
    return {"messages": messages, "stream": bool(body.get("stream")), "max_completion_tokens": most, "stop": stop}


def _messages(messages: Any) -> list[dict[str, str]]:
    if not isinstance(messages, list) or not messages:
        raise RequestError(400, "messages must be a list with at least one message")
    return [_message(message) for message in messages]


def _message(message: Any) -> dict[str, str]:
    if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
        raise RequestError(400, "a message must be an object with a role")
    content = message.get("content")
    if isinstance(content, list) and all(isinstance(part, Mapping) and part.get("type") == "text" for part in content):
        content = "".join(str(part.get("text")) for part in content)
    if not isinstance(content, str):
        raise RequestError(400, "a message's content must be a text")
    return {"role": message["role"], "content": content.encode(errors="replace").decode()}


def _most_tokens(body: Mapping[str, Any], export: TransformersExport) -> int:
    given = [body[key] for key in ("max_completion_tokens", "max_tokens") if body.get(key) is not None]
    most = given[0] if given else export.settings.max_new_tokens
    if not isinstance(most, int) or isinstance(most, bool) or most < 1:
        raise RequestError(400, f"max_completion_tokens must be an integer above 0, not {most!r}")
    return most


def _stop(given: Any) -> list[str]:
    stop = [] if given is None else [given] if isinstance(given, str) else given
    if (
        not isinstance(stop, list)
        or len(stop) > MAX_STOP_TEXTS
        or not all(isinstance(text, str) and text for text in stop)
    ):
        raise RequestError(400, f"stop must be a text or a list of at most {MAX_STOP_TEXTS} texts, none of them empty")
    return stop


def _check_length(messages: list[dict[str, str]], most: int, export: TransformersExport) -> None:
    try:
        tokens = len(export.tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False))
    except TemplateError as error:
        raise RequestError(400, f"the student's chat template does not take the messages: {error}") from None
    context = getattr(export.model.config.get_text_config(), "max_position_embeddings", None)
    if context is not None and tokens + most > context:
        raise RequestError(
            400,
            f"{tokens:,} tokens of messages and up to {most:,} of answer are more than the model's context of {context:,}",
            "context_length_exceeded",
        )
