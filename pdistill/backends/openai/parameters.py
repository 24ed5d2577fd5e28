"""The sampling parameters of a request, limited to those that the service accepts for the model."""

from typing import Any

import openai

from pdistill.backends.openai.failures import refused_fields
from pdistill.core.contract.sampling import Sampling

SEED_BITS = 31
MAX_STOP_TEXTS = 4
"""Number of stop sequences that OpenAI accepts; at those that are not sent, the answer is cut on this machine."""
DISPENSABLE = ("stop", "seed")
"""Fields that may be left out: answers are also cut on this machine, and most services treat a seed as a hint."""
NEUTRAL = {"top_p": 1, "temperature": 1}
"""Values that change nothing where a service has no default of its own; such a field may be left out."""


class Parameters:
    """Learns which fields a model does not accept: newer models have another name for the token limit, some take no temperature.

    Temperature and top_p are sent until they are refused, also where they are neutral, as many servers have their own
    defaults. A refusal may name a field because its query contains the word: what a request is sent without is decided for
    the others once the service has answered it.

    Args:
        chat: whether requests are chat completions; only these have two names for the token limit.
    """

    def __init__(self, chat: bool) -> None:
        self._chat = chat
        self.left_out: frozenset[str] = frozenset()

    def fields(
        self, sampling: Sampling, seed: int, stops: list[str], left_out: frozenset[str] | None = None
    ) -> dict[str, Any]:
        """Return the sampling parameters of a request.

        Args:
            seed: determines the answer at temperatures above 0.
            stops: texts that end the answer.
            left_out: the fields that are left out; None: those that are decided.
        """
        left_out = self.left_out if left_out is None else left_out
        fields: dict[str, Any] = {"temperature": sampling.temperature, "max_tokens": sampling.max_tokens}
        if sampling.temperature > 0:
            fields |= {"top_p": sampling.top_p, "seed": seed % (1 << SEED_BITS)}
        if stops:
            fields["stop"] = stops[:MAX_STOP_TEXTS]
        if "max_tokens" in left_out:
            fields["max_completion_tokens"] = sampling.max_tokens
        return {name: value for name, value in fields.items() if name not in left_out}

    def refused(self, error: openai.APIStatusError, fields: dict[str, Any]) -> str | None:
        """Return a field that the service refuses and that can be left out without changing the answer; None if there is none."""
        named = refused_fields(error, ["top_p", *fields])
        return next((name for name in named if name in fields and self._can_be_left_out(name, fields[name])), None)

    def _can_be_left_out(self, name: str, value: Any) -> bool:
        if name == "max_tokens":
            return self._chat
        return name in DISPENSABLE or (name in NEUTRAL and value == NEUTRAL[name])
