"""What the stages of a run settled when they first opened."""

from collections.abc import Mapping
from typing import Any

from pdistill.core.contract.sampling import Sampling


def sampling_from(settings: Mapping[str, Any]) -> Sampling:
    """Return the sampling that generate.json resolved."""
    return Sampling(
        temperature=settings["temperature"],
        top_p=settings["top_p"],
        max_tokens=settings["max_tokens"],
        stop=tuple(settings["stop"]),
        stop_at_newline=settings["first_line"],
    )


def says_the_same_again(settings: Mapping[str, Any]) -> bool:
    """Return whether the teacher, asked again as an arm is, gives its stored answers: they are greedy and not constrained."""
    return bool(settings["temperature"] == 0 and not settings.get("constrain"))
