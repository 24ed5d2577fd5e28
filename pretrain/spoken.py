"""Short everyday sentences, as people type them in chats and search boxes; the corpora hardly have them."""

from __future__ import annotations

import random
from pathlib import Path

from pretrain.spintax import expand


def _read() -> dict[str, list[str]]:
    """The wordings of `data/spoken.txt` by language, each with choices."""
    found = {}
    for part in (Path(__file__).parent / "data" / "spoken.txt").read_text(encoding="utf-8").split("== ")[1:]:
        language, *lines = part.strip("\n").split("\n")
        found[language] = lines
    return found


SPOKEN = _read()


def spoken(language: str, rng: random.Random) -> str:
    """An everyday sentence, usually without a capital or a final punctuation mark."""
    text = expand(rng.choice(SPOKEN[language]), rng)
    text = text[:1].upper() + text[1:] if rng.random() < 0.4 else text
    return text.rstrip("?!;？؟") if rng.random() < 0.4 else text
