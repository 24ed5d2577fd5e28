"""The events of a streamed answer as OpenAI sends them; transformers' handler leaves the last one out."""

import json
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

from pdistill.backends.local.export.chat_request import error_content

DONE = "data: [DONE]\n\n"
FAILURE = ('data: {"error": "', '"}')
"""What the handler puts around an error's message, which it does not escape."""


async def as_openai(parts: AsyncIterable[Any], *, with_usage: bool) -> AsyncIterator[str]:
    """Yield the events of an answer, one by one; after an error there is no last one.

    Args:
        parts: the handler's; each holds one event or several.
        with_usage: whether an event of its own tells the numbers of tokens.
    """
    async for part in parts:
        for event in filter(None, part.split("\n\n")):
            if event.startswith(FAILURE[0]):
                message = event.removeprefix(FAILURE[0]).removesuffix(FAILURE[1])
                yield _event(error_content(500, message))
                return
            chunk = json.loads(event.removeprefix("data: "))
            usage = chunk.pop("usage", None)
            yield _event(chunk)
            if usage is not None and with_usage:
                yield _event({**chunk, "choices": [], "usage": usage})
    yield DONE


def _event(chunk: Any) -> str:
    return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"
