"""Similarity measures for answers that are not labels, by name, each from 0 to 1."""

import unicodedata
from collections.abc import Callable, Mapping
from typing import Literal

from pdistill.core.contract.jsontext import canonical_json, parse_json

Likeness = Literal["exact", "normalised", "fields", "characters"]

KEPT_PUNCTUATION = "%‰"


def exact(one: str, other: str) -> float:
    """Return whether both are the same text."""
    return float(one == other)


def normalised(one: str, other: str) -> float:
    """Return whether both are equal, ignoring case, punctuation, whitespace and Unicode normalisation forms.

    Per cent signs, and what precedes a digit, such as a minus or a decimal point, do not count as punctuation here.
    """
    return float(_plain(one) == _plain(other))


def fields(one: str, other: str) -> float:
    """Return the fraction of equal fields among all fields of two JSON objects; for other values, whether they are equal."""
    try:
        first, second = parse_json(one), parse_json(other)
    except ValueError:
        return exact(one, other)
    if not (isinstance(first, dict) and isinstance(second, dict)):
        return float(canonical_json(first) == canonical_json(second))
    names = first.keys() | second.keys()
    same = [
        name in first and name in second and canonical_json(first[name]) == canonical_json(second[name])
        for name in names
    ]
    return sum(same) / len(same) if same else 1.0


def characters(one: str, other: str) -> float:
    """Return the fraction of characters that both have in common, in order (rapidfuzz's normalised Indel similarity)."""
    from rapidfuzz.distance import Indel

    return float(Indel.normalized_similarity(one, other))


WAYS: Mapping[Likeness, Callable[[str, str], float]] = {
    "exact": exact,
    "normalised": normalised,
    "fields": fields,
    "characters": characters,
}


def likeness(way: Likeness, one: str, other: str) -> float:
    """Return the similarity of two answers, from 0 to 1, by one of the measures in WAYS."""
    return WAYS[way](one, other)


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    if not folded:
        return ""
    words = (" " if _is_noise(char, after) else char for char, after in zip(folded, f"{folded[1:]} ", strict=True))
    return " ".join("".join(words).split()) or folded.strip()


def _is_noise(char: str, after: str) -> bool:
    return unicodedata.category(char).startswith("P") and char not in KEPT_PUNCTUATION and not after.isdigit()
