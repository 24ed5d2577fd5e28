"""Texts in languages that do not exist, so that "other" comes to mean more than the other languages of the corpora."""

from __future__ import annotations

import random
import unicodedata

from pretrain.corpora import Corpora

_INDIC = [0x0980, 0x0A00, 0x0A80, 0x0B00, 0x0C00, 0x0C80, 0x0D00]
_BLOCKS = [
    (0x05D0, 0x05EA), (0x0561, 0x0586), (0x1200, 0x1248), (0x1780, 0x17B3), (0x1000, 0x1021), (0x0F40, 0x0F6A), (0x0D85, 0x0DC6),
    (0x1820, 0x1842), (0x0E81, 0x0EC6), (0x2D30, 0x2D67), (0x10A0, 0x10C5), (0x0710, 0x072F), (0x13A0, 0x13F4), (0x0780, 0x07A5),
]  # fmt: skip
_VOWELS, _CONSONANTS = "aeiou", "bcdfghjklmnpqrstvwxz"
_LATIN_EXTRA = "åøæőűžščęłāēīōūķģņļėųįŋɛɔǝħċġżðþýêôŵŷëãõñəxqwz"
_CYRILLIC_EXTRA = "јњљћђџўіїєѓќѕәғқңөұүһҳ"
_ARABIC_EXTRA = "ۆێەڕڵۋېۇۈڭڼښڅځډڙګټݡ"
_DEVANAGARI = "कखगघचछजझटठडढतथदधनपफबभमयरलवशषसहळ"
_LATIN = ["de", "en", "es", "fr", "ca", "cs", "fi", "hu", "id", "it", "nl", "pl", "pt", "ro", "sv", "tr"]


def invented(corpora: Corpora, rng: random.Random) -> str:
    """A text in an invented language, in a script of the corpora or in one that they lack."""
    draw = rng.random()
    if draw < 0.35:
        return _another_script(corpora, rng)
    if draw < 0.70:
        language = rng.choice(_LATIN)
        return _reshaped(rng.choice(corpora[language]).lower(), _VOWELS, _CONSONANTS, _LATIN_EXTRA, rng)
    if draw < 0.82:
        language = rng.choice(["ru", "bg", "uk"])
        return _reshaped(rng.choice(corpora[language]).lower(), "аеиоуы", "бвгджзклмнпрстфхчш", _CYRILLIC_EXTRA, rng)
    if draw < 0.92:
        language = rng.choice(["ar", "fa", "ur"])
        return _reshaped(rng.choice(corpora[language]), "اويی", "بتجحدرزسشعغفقكلمنهکگ", _ARABIC_EXTRA, rng)
    return _reshaped(rng.choice(corpora["hi"]), "ािीुूेो", _DEVANAGARI, "ळऴऱॲॅ", rng)


def _reshaped(text: str, vowels: str, consonants: str, extra: str, rng: random.Random) -> str:
    """The text with most letters exchanged consistently and with its own endings."""
    strange = rng.sample(extra, rng.randint(0, min(4, len(extra))))
    table = _exchange(vowels, rng, strange[:1]) | _exchange(consonants, rng, strange[1:])
    endings = ["".join(table.get(rng.choice(vowels), "") + table.get(rng.choice(consonants), "")) for _ in range(3)]
    words = []
    for word in text.split():
        changed = "".join(table.get(sign, sign) for sign in word)
        words.append(changed + rng.choice(endings) if len(word) > 3 and rng.random() < 0.3 else changed)
    result = " ".join(words)
    return result[:1].upper() + result[1:]


def _exchange(letters: str, rng: random.Random, strange: list[str]) -> dict[str, str]:
    moved = rng.sample(letters, max(3, int(len(letters) * rng.uniform(0.5, 0.9))))
    targets = moved[1:] + moved[:1]
    table = dict(zip(moved, targets, strict=True))
    return table | dict(zip(rng.sample(letters, len(strange)), strange, strict=True))


def _another_script(corpora: Corpora, rng: random.Random) -> str:
    if rng.random() < 0.5:
        base = rng.choice(_INDIC)
        return "".join(_shifted(sign, base) for sign in rng.choice(corpora["hi"]))
    first, last = rng.choice(_BLOCKS)
    letters = [
        chr(code) for code in range(first, last + 1) if unicodedata.category(chr(code)) in {"Lo", "Ll", "Lu", "Lm"}
    ]
    text = rng.choice(corpora[rng.choice([*_LATIN, "ru", "el", "ar", "ka"])]).lower()
    table = {sign: rng.choice(letters) for sign in sorted(set(text)) if sign.isalpha()}
    return "".join(table.get(sign, sign) for sign in text)


def _shifted(sign: str, base: int) -> str:
    if not "\u0901" <= sign <= "\u0963":
        return sign
    moved = chr(ord(sign) - 0x0900 + base)
    return moved if unicodedata.category(moved) != "Cn" else ""
