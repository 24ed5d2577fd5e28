"""The sampling parameters of a request, limited to those that the service supports for the model."""

from typing import Any

import openai

from pdistill.backends.openai.failures import is_too_long, unsupported_field
from pdistill.core.contract.sampling import Sampling

SEED_BITS = 31
MAX_STOP_TEXTS = 4
"""Number of stop sequences that OpenAI accepts; at those that are not sent, the answer is cut on this machine."""
DISPENSABLE = ("stop", "seed")
"""Fields that may be left out: answers are also cut on this machine, and most services treat a seed as a hint."""


class Parameters:
    """Learns which fields a model does not support: newer models have another name for the token limit, reasoning models no stop sequences.

    Temperature and top_p are always sent where they matter, as many servers have their own defaults.

    Args:
        chat: whether requests are chat completions; only these have two names for the token limit.
    """

    def __init__(self, chat: bool) -> None:
        self._chat = chat
        self._left_out: set[str] = set()

    def fields(self, sampling: Sampling, seed: int, stops: list[str]) -> dict[str, Any]:
        """Return the sampling parameters of a request.

        Args:
            seed: determines the answer at temperatures above 0.
            stops: texts that end the answer.
        """
        fields: dict[str, Any] = {"temperature": sampling.temperature, "max_tokens": sampling.max_tokens}
        if sampling.temperature > 0:
            fields |= {"top_p": sampling.top_p, "seed": seed % (1 << SEED_BITS)}
        if stops:
            fields["stop"] = stops[:MAX_STOP_TEXTS]
        if "max_tokens" in self._left_out:
            fields["max_completion_tokens"] = sampling.max_tokens
        return {name: value for name, value in fields.items() if name not in self._left_out}

    def learn(self, error: openai.APIStatusError, fields: dict[str, Any]) -> bool:
        """Return whether to retry the request: a field was rejected that can be left out without changing the answer."""
        name = None if is_too_long(error) else unsupported_field(error, fields)
        if name is None or not (
            name in DISPENSABLE
            or (name == "max_tokens" and self._chat)
            or (name in ("temperature", "top_p") and fields[name] == 1)
        ):
            return False
        self._left_out.add(name)
        return True
