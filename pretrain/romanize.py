"""Texts of other scripts spelt in Latin letters, in the various ways in which people type them."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

from anyascii import anyascii
from pypinyin import Style, lazy_pinyin

ROMANIZED = ("ru", "el", "hi", "ur", "ar", "zh", "bg", "uk", "fa")

_DATA = Path(__file__).parent / "data"
_TABLES: dict[str, dict[str, list[str]]] = json.loads((_DATA / "letters.json").read_text(encoding="utf-8"))
"""By language and letter the spellings in Latin letters; `-` for none."""
_TYPED: dict[str, dict[str, list[str]]] = json.loads((_DATA / "typed.json").read_text(encoding="utf-8"))
"""By language and word the spellings that people are used to."""
_GREEK_PAIRS = (("ου", "ou"), ("αι", "ai"), ("ει", "ei"), ("οι", "oi"), ("μπ", "mp"), ("ντ", "nt"), ("γκ", "gk"))
_PLAIN = str.maketrans("άέήίόύώϊϋΐΰ", "αεηιουωιυιυ")
_HARAKAT = re.compile(r"[\u064b-\u0652\u0670\u0640]")


def romanized(text: str, language: str, rng: random.Random) -> str:
    """The text in Latin letters, spelt in one of the ways people have."""
    if language == "zh":
        result = _pinyin(text, rng)
    elif language in _TABLES and rng.random() < 0.85:
        result = _typed(text, language, rng)
    else:
        result = anyascii(text)
    style = rng.random()
    if style < 0.6:
        result = result.lower()
    if rng.random() < 0.3:
        result = re.sub(r"[^\w\s']", "", result)
    return re.sub(r"\s+", " ", result).strip()


def _pinyin(text: str, rng: random.Random) -> str:
    style = rng.choice([Style.NORMAL, Style.NORMAL, Style.NORMAL, Style.TONE, Style.TONE3])
    syllables = [syllable.strip() for syllable in lazy_pinyin(text, style=style)]
    joined = ""
    join = rng.choice([0.0, 0.3, 0.5])
    for syllable in syllables:
        glued = not joined or not syllable.isalnum() or rng.random() < join
        joined += syllable if glued else f" {syllable}"
    return anyascii(joined) if style == Style.NORMAL else joined


def _typed(text: str, language: str, rng: random.Random) -> str:
    choices: dict[str, str] = {}
    vowels = rng.choice(["aaiu", "aeio", "aaae"])
    common = _TYPED.get(language, {})
    words = []
    for word in _HARAKAT.sub("", text.lower()).split():
        bare = word.strip(".,!?؟،۔।\"'«»:;()")
        if bare in common:
            words.append(rng.choice(common[bare]))
        elif language == "hi":
            words.append(_devanagari(word, choices, rng))
        elif language == "el":
            words.append(_greek(word, choices, rng))
        elif language in {"ar", "ur", "fa"}:
            words.append(_abjad(word, _TABLES[language], choices, vowels, rng))
        else:
            words.append(_mapped(word, _TABLES[language], choices, rng))
    result = " ".join(words)
    return result[:1].upper() + result[1:] if rng.random() < 0.5 else result


def _choose(sign: str, forms: list[str], choices: dict[str, str], rng: random.Random) -> str:
    """One spelling of the sign, the same throughout a text."""
    if sign not in choices:
        chosen = rng.choice(forms)
        choices[sign] = "" if chosen == "-" else chosen
    return choices[sign]


def _mapped(word: str, table: dict[str, list[str]], choices: dict[str, str], rng: random.Random) -> str:
    return "".join(_choose(sign, table[sign], choices, rng) if sign in table else anyascii(sign) for sign in word)


def _greek(word: str, choices: dict[str, str], rng: random.Random) -> str:
    word = word.translate(_PLAIN)
    for pair, latin in _GREEK_PAIRS:
        word = word.replace(pair, latin)
    return _mapped(word, _TABLES["el"], choices, rng)


def _abjad(word: str, table: dict[str, list[str]], choices: dict[str, str], vowels: str, rng: random.Random) -> str:
    if word.startswith("ال"):
        return rng.choice(["al", "el", "el-", "al-"]) + _abjad(word[2:], table, choices, vowels, rng)
    spelt = ""
    for sign in word:
        latin = _choose(sign, table[sign], choices, rng) if sign in table else anyascii(sign)
        if spelt and spelt[-1] not in "aeiou" and latin[:1] not in "aeiou" and latin.isalpha() and rng.random() < 0.6:
            spelt += rng.choice(vowels)
        spelt += latin
    return spelt


def _devanagari(word: str, choices: dict[str, str], rng: random.Random) -> str:
    spelt, pending = "", False
    for index, sign in enumerate(word):
        if sign in _TABLES["hi"]:
            deleted = pending and index >= 3 and rng.random() < 0.4
            spelt += "a" if pending and not deleted else ""
            spelt += _choose(sign, _TABLES["hi"][sign], choices, rng)
            pending = True
        elif sign in _TABLES["hi-signs"]:
            spelt += "a" if pending and sign in "ंँः" else ""
            spelt += _choose(sign, _TABLES["hi-signs"][sign], choices, rng)
            pending = False
        elif sign in "\u094d\u093c\u200c\u200d":
            pending = pending and sign == "\u093c"
        else:
            spelt += anyascii(sign)
            pending = False
    return spelt
