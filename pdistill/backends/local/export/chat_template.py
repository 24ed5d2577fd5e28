"""The chat template of an export, which renders one user message to what the student was trained on."""

import json
from typing import Any

from pdistill.backends.rendering import TemplateRenderer
from pdistill.core.contract.prompts import QUERY_FIELD, Messages, Prompt
from pdistill.core.errors import BackendError

ONE_MESSAGE = "this student answers one user message at a time, without a system message"


def export_template(renderer: TemplateRenderer, prompt: Prompt) -> str:
    """Return a Jinja template that needs no arguments.

    Args:
        renderer: the student's renderer.
        prompt: the student's prompt, with `{query}` in place of the query.

    Raises:
        BackendError: the student's prompt is more than one user message, or its model begins answers with special tokens.
    """
    if not isinstance(prompt, Messages):
        return _text_template(renderer, prompt.text)
    if [message.role for message in prompt.messages] != ["user"]:
        roles = ", ".join(message.role for message in prompt.messages)
        raise BackendError(
            f"can't export this student: its prompt must be one user message, and it has the messages {roles}"
        )
    if renderer.answer_start:
        start = renderer.tokenizer.decode(list(renderer.answer_start))
        raise BackendError(
            f"can't export this student: its model writes {start!r} before an answer, which transformers and its server don't "
            "tell from the answer; ask it with pdistill sample"
        )
    return _chat_template(renderer, prompt.messages[0].content)


def _chat_template(renderer: TemplateRenderer, frame: str) -> str:
    """Return the model's own template after lines that set its arguments and put the last user message into the frame."""
    lines = [
        f"{{% set enable_thinking = {str(renderer.thinking).lower()} %}}",
        "{% set add_generation_prompt = add_generation_prompt or (messages and messages[-1]['role'] == 'user') %}",
    ]
    if frame != QUERY_FIELD:
        framed = f"dict(message, content={_pieces(frame)} | join(message['content']))"
        lines += [
            "{% set framed = namespace(messages=[], last=0) %}",
            "{% for message in messages %}",
            "{% if message['role'] == 'user' %}{% set framed.last = loop.index %}{% endif %}",
            "{% endfor %}",
            "{% for message in messages %}",
            "{% set framed.messages = framed.messages + "
            f"[{framed} if loop.index == framed.last and message['content'] is string else message] %}}",
            "{% endfor %}",
            "{% set messages = framed.messages %}",
        ]
    return "\n".join([*lines, renderer.dated_template()])


def _text_template(renderer: TemplateRenderer, frame: str) -> str:
    before, after = _special_tokens(renderer.tokenizer)
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


def _special_tokens(tokenizer: Any) -> tuple[str, str]:
    """Return the special tokens that the tokenizer puts before and after a text, as text."""
    bare = list(tokenizer("a", add_special_tokens=False)["input_ids"])
    ids = list(tokenizer("a")["input_ids"])
    start = next(i for i in range(len(ids)) if ids[i : i + len(bare)] == bare)
    before, after = ids[:start], ids[start + len(bare) :]
    return "".join(tokenizer.convert_ids_to_tokens(before)), "".join(tokenizer.convert_ids_to_tokens(after))


def _pieces(frame: str) -> str:
    """Return the texts around the query as a Jinja list, to be joined by the query."""
    return f"[{', '.join(_literal(piece) for piece in frame.split(QUERY_FIELD))}]"


def _literal(text: str) -> str:
    """Return a text as a Jinja literal; Jinja reads the escapes of JSON, but not surrogate pairs."""
    return json.dumps(text, ensure_ascii=False)
