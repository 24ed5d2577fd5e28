"""How far two answers agree that are no labels: ways to compare them, from 0 to 1, by name."""

import unicodedata
from collections.abc import Callable, Mapping
from typing import Literal

from pdistill.core.contract.jsontext import canonical, parsed

Likeness = Literal["exact", "normalised", "fields", "characters"]

KEPT = "%‰"


def exact(one: str, other: str) -> float:
    """Return whether both are the same text."""
    return float(one == other)


def normalised(one: str, other: str) -> float:
    """Return whether both are the same but for case, punctuation, white space and the forms of Unicode.

    Per cent signs, and what stands before a digit, such as a minus or a decimal point, are no punctuation here.
    """
    return float(_plain(one) == _plain(other))


def fields(one: str, other: str) -> float:
    """Return the share of fields that are equal in two JSON objects, of all that either has; else whether the values are."""
    try:
        first, second = parsed(one), parsed(other)
    except ValueError:
        return exact(one, other)
    if not (isinstance(first, dict) and isinstance(second, dict)):
        return float(canonical(first) == canonical(second))
    names = first.keys() | second.keys()
    same = [name in first and name in second and canonical(first[name]) == canonical(second[name]) for name in names]
    return sum(same) / len(same) if same else 1.0


def characters(one: str, other: str) -> float:
    """Return the share of characters that both have in common, in their order (rapidfuzz's normalised Indel similarity)."""
    from rapidfuzz.distance import Indel

    return float(Indel.normalized_similarity(one, other))


WAYS: Mapping[Likeness, Callable[[str, str], float]] = {
    "exact": exact,
    "normalised": normalised,
    "fields": fields,
    "characters": characters,
}


def likeness(way: Likeness, one: str, other: str) -> float:
    """Return how far two answers agree, from 0 to 1, compared in one of the WAYS."""
    return WAYS[way](one, other)


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    if not folded:
        return ""
    kept = (" " if _is_noise(char, after) else char for char, after in zip(folded, f"{folded[1:]} ", strict=True))
    return " ".join("".join(kept).split()) or folded.strip()


def _is_noise(char: str, after: str) -> bool:
    return unicodedata.category(char).startswith("P") and char not in KEPT and not after.isdigit()
