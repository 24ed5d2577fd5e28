"""Expansion of wordings in which `[a|b]` stands for either."""

from __future__ import annotations

import random
import re

_CHOICE = re.compile(r"\[([^\[\]]*)\]")


def expand(wording: str, rng: random.Random) -> str:
    """The wording with every choice made, including nested ones."""
    while True:
        chosen, count = _CHOICE.subn(lambda match: rng.choice(match.group(1).split("|")), wording)
        if not count:
            return re.sub(r" +([.,:;])", r"\1", re.sub(r"  +", " ", chosen)).strip()
        wording = chosen
