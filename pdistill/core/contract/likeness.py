"""Similarity measures for answers that are not labels, by name, each from 0 to 1."""

import unicodedata
from collections.abc import Callable, Mapping
from typing import Literal

from pdistill.core.contract.jsontext import JsonObject, canonical_json, parse_json

Likeness = Literal["exact", "normalised", "fields", "characters"]

KEPT_PUNCTUATION = "%‰"


def composed(text: str) -> str:
    """Return the text in Unicode's composed form (NFC), so that texts which look the same are equal."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def exact(one: str, other: str) -> float:
    """Return whether both are the same text."""
    return float(composed(one) == composed(other))


def bare(text: str) -> str:
    """Return the text without regard to its form: in one case, without whitespace and punctuation at its ends."""
    folded = unicodedata.normalize("NFKC", text).casefold().strip()
    places = range(len(folded))
    first = next((place for place in places if not _is_outside(folded, place)), None)
    if first is None:
        return folded
    last = next(place for place in reversed(places) if not _is_outside(folded, place))
    return folded[first : last + 1]


def normalised(one: str, other: str) -> float:
    """Return whether both are equal, ignoring case, punctuation, whitespace and Unicode normalisation forms.

    Per cent signs, and what precedes a digit, such as a minus or a decimal point, do not count as punctuation here.
    """
    return float(_plain(one) == _plain(other))


def fields(one: str, other: str) -> float:
    """Return the fraction of equal fields among all fields of two JSON objects; for other values, whether they are equal."""
    try:
        first, second = _value(one), _value(other)
    except ValueError:
        return exact(one, other)
    if not (isinstance(first, dict) and isinstance(second, dict)):
        return float(canonical_json(first) == canonical_json(second))
    same = _equal_fields(first, second).values()
    return sum(same) / len(same) if same else 1.0


def equal_fields(one: str, other: str) -> dict[str, bool]:
    """Return for each field of two JSON objects whether both have it, with equal values; none if either is not an object."""
    try:
        first, second = _value(one), _value(other)
    except ValueError:
        return {}
    return _equal_fields(first, second) if isinstance(first, dict) and isinstance(second, dict) else {}


def _value(text: str) -> object:
    return parse_json(composed(text))


def _equal_fields(one: JsonObject, other: JsonObject) -> dict[str, bool]:
    return {
        name: name in one and name in other and canonical_json(one[name]) == canonical_json(other[name])
        for name in {**one, **other}
    }


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
    words = (" " if _is_noise(folded, place) else char for place, char in enumerate(folded))
    return " ".join("".join(words).split()) or folded.strip()


def _is_outside(text: str, place: int) -> bool:
    return text[place].isspace() or _is_noise(text, place)


def _is_noise(text: str, place: int) -> bool:
    """Return whether a character is punctuation that does not matter."""
    char, after = text[place], text[place + 1 : place + 2]
    return unicodedata.category(char).startswith("P") and char not in KEPT_PUNCTUATION and not after.isdigit()
