"""How common words are, language by language: the check that a short text is as clear, or as unclear, as it is assumed to be."""

from __future__ import annotations

import math
from functools import cache

import wordfreq

LISTED = {
    "latin": [
        "ca", "cs", "da", "de", "en", "es", "fi", "fil", "fr", "hu", "id", "is", "it", "lt", "lv", "ms", "nb", "nl", "pl",
        "pt", "ro", "sh", "sk", "sl", "sv", "tr", "vi",
    ],
    "cyrillic": ["ru", "bg", "uk", "mk"],
    "arabic": ["ar", "fa", "ur"],
    "han": ["zh", "ja"],
}  # fmt: skip
"""The languages that have a list, by script; a script of one language needs none."""
_NOWHERE = 0.0
_MARGIN = 1.8
"""How many powers of ten more common a word is in its own language than in any other."""


@cache
def _rates(language: str) -> dict[str, float]:
    return dict(wordfreq.get_frequency_dict(language))


class Lexicon:
    """What the word lists of wordfreq say about single words; a script without lists disputes nothing."""

    def belongs(self, word: str, language: str, script: str) -> bool:
        """Whether the word is common in the language and far less so in all others of the script."""
        if language not in LISTED.get(script, []):
            return False
        own = self._height(word, language)
        return own >= 3.0 and all(own - other >= _MARGIN for other in self._others(word, language, script))

    def disputed(self, word: str, language: str, script: str) -> bool:
        """Whether another language of the script has the word nearly as often."""
        if language not in LISTED.get(script, []):
            return False
        own = self._height(word, language)
        return any(other > max(2.6, own - _MARGIN) for other in self._others(word, language, script))

    def widespread(self, word: str, script: str) -> bool:
        """Whether the word is about as common in many languages of the script (in three, if it has few)."""
        heights = sorted((self._height(word, language) for language in LISTED.get(script, [])), reverse=True)
        enough = 6 if script == "latin" else 3
        return len(heights) >= enough and heights[enough - 1] >= 3.2 and heights[0] - heights[enough - 1] < 1.0

    def known(self, word: str, language: str) -> bool:
        """Whether the language's list has the word."""
        return self._height(word, language) > _NOWHERE

    def _height(self, word: str, language: str) -> float:
        """The power of ten of the word's occurrences per billion words."""
        rate = _rates(language).get(word.lower(), 0.0)
        return math.log10(rate) + 9 if rate else _NOWHERE

    def _others(self, word: str, language: str, script: str) -> list[float]:
        return [self._height(word, other) for other in LISTED.get(script, []) if other != language]
