"""What a request says of how an answer is drawn, in the words that this service takes for this model."""

from typing import Any

import openai

from pdistill.backends.openai.failures import not_taken, too_long
from pdistill.core.contract.sampling import Sampling

SEED_BITS = 31
MOST_STOPS = 4
"""Stop texts that OpenAI takes; an answer is cut here at those that are not sent."""
NEEDLESS = ("stop", "seed")
"""Fields that may be left out: answers are cut here too, and a seed promises nothing on most services."""


class Parameters:
    """Learns which fields are not taken: a newer model wants its limit under another name, a reasoning one no stop texts.

    Temperature and top_p are always sent where they matter, as many servers have defaults of their own.

    Args:
        chat: whether requests are chat completions, which alone have two names for the limit.
    """

    def __init__(self, chat: bool) -> None:
        self._chat = chat
        self._left_out: set[str] = set()

    def of(self, sampling: Sampling, seed: int, stops: list[str]) -> dict[str, Any]:
        """Return the fields of a request.

        Args:
            seed: settles the answer where it is drawn.
            stops: texts that end the answer.
        """
        fields: dict[str, Any] = {"temperature": sampling.temperature, "max_tokens": sampling.max_tokens}
        if sampling.temperature > 0:
            fields |= {"top_p": sampling.top_p, "seed": seed % (1 << SEED_BITS)}
        if stops:
            fields["stop"] = stops[:MOST_STOPS]
        if "max_tokens" in self._left_out:
            fields["max_completion_tokens"] = sampling.max_tokens
        return {name: value for name, value in fields.items() if name not in self._left_out}

    def learn(self, error: openai.APIStatusError, fields: dict[str, Any]) -> bool:
        """Return whether the request is worth another try, without a field that was refused and changes nothing."""
        name = None if too_long(error) else not_taken(error, fields)
        if name is None or not (
            name in NEEDLESS
            or (name == "max_tokens" and self._chat)
            or (name in ("temperature", "top_p") and fields[name] == 1)
        ):
            return False
        self._left_out.add(name)
        return True
