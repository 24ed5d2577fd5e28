"""The chat template of an export: from one user message alone it renders what the student was trained on."""

import json
from typing import Any

from pdistill.backends.rendering import TemplateRenderer
from pdistill.core.errors import BackendError
from pdistill.core.prompts import QUERY_FIELD, Messages, Prompt

ONE_MESSAGE = "this student answers one user message at a time, without a system message"


def export_template(renderer: TemplateRenderer, asked: Prompt) -> str:
    """Return a Jinja template that needs no argument.

    Args:
        renderer: the student's.
        asked: what the student is asked with, where `{query}` stands for the query.

    Raises:
        BackendError: the student is asked with more than one user message.
    """
    if not isinstance(asked, Messages):
        return _text_template(renderer, asked.text)
    if [message.role for message in asked.messages] != ["user"]:
        roles = ", ".join(message.role for message in asked.messages)
        raise BackendError(f"only a student that is asked with one user message can be exported; this one gets {roles}")
    return _chat_template(renderer, asked.messages[0].content)


def _chat_template(renderer: TemplateRenderer, frame: str) -> str:
    """Return the model's own template behind lines that settle its arguments and put user messages into the frame."""
    settled = [
        f"{{% set enable_thinking = {str(renderer.thinking).lower()} %}}",
        "{% set add_generation_prompt = add_generation_prompt or (messages and messages[-1]['role'] == 'user') %}",
    ]
    if frame != QUERY_FIELD:
        framed = f"dict(message, content={_pieces(frame)} | join(message['content']))"
        settled += [
            "{% set framed = namespace(messages=[]) %}",
            "{% for message in messages %}",
            "{% set framed.messages = framed.messages + "
            f"[{framed} if message['role'] == 'user' and message['content'] is string else message] %}}",
            "{% endfor %}",
            "{% set messages = framed.messages %}",
        ]
    return "\n".join([*settled, str(renderer.tokenizer.get_chat_template())])


def _text_template(renderer: TemplateRenderer, frame: str) -> str:
    before, after = _added(renderer.tokenizer)
    start = "" if before or after else renderer.tokenizer.convert_ids_to_tokens(renderer.start_token)
    return "\n".join(
        [
            "{% if messages | length != 1 or messages[0]['role'] != 'user' %}",
            f"{{{{ raise_exception({_literal(ONE_MESSAGE)}) }}}}",
            "{% endif %}",
            f"{{% set text = {_pieces(frame)} | join(messages[0]['content']) %}}",
            f"{{{{ {_literal(before)} + (text or {_literal(start)}) + {_literal(after)} }}}}",
        ]
    )


def _added(tokenizer: Any) -> tuple[str, str]:
    """Return the texts of the special tokens that the tokenizer puts before and behind a text."""
    bare = list(tokenizer("a", add_special_tokens=False)["input_ids"])
    ids = list(tokenizer("a")["input_ids"])
    at = next(place for place in range(len(ids)) if ids[place : place + len(bare)] == bare)
    before, after = ids[:at], ids[at + len(bare) :]
    return "".join(tokenizer.convert_ids_to_tokens(before)), "".join(tokenizer.convert_ids_to_tokens(after))


def _pieces(frame: str) -> str:
    """Return the texts around the query as a Jinja list, to be joined by the query."""
    return f"[{', '.join(_literal(piece) for piece in frame.split(QUERY_FIELD))}]"


def _literal(text: str) -> str:
    """Return a text as a Jinja literal; Jinja reads the escapes of JSON, but no pairs of surrogates."""
    return json.dumps(text, ensure_ascii=False)
