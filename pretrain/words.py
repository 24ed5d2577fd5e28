"""Very short texts: words that only one language has, and words, names and brands that many have."""

from __future__ import annotations

import json
import math
import random
import re
import zlib
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

from pretrain.corpora import Corpora
from pretrain.lexicon import Lexicon

SCRIPTS = {
    "latin": ["de", "en", "es", "fr", "tr", "vi", "ca", "cs", "fi", "hu", "id", "it", "nl", "pl", "pt", "ro", "sv"],
    "cyrillic": ["ru", "bg", "uk"],
    "arabic": ["ar", "fa", "ur"],
    "han": ["zh", "ja"],
    "own": ["el", "hi", "ka", "ta"],
}

_DATA = Path(__file__).parent / "data"
NAMES = (_DATA / "names.txt").read_text(encoding="utf-8").split()
SHARED = (_DATA / "shared.txt").read_text(encoding="utf-8").split()

_NOUN = re.compile(
    r"^[A-ZÄÖÜ][a-zäöüß]*(?:ung|ungen|heit|keit|schaft|chen|lein)$|^[A-ZÄÖÜ](?=[a-zäöüß]{5,}$)[a-z]*[äöüß]"
)
"""German nouns that cannot be mistaken for names."""


@dataclass(frozen=True)
class ShortTexts:
    """Words, and pairs of words, by language that are unmistakable; words that belong to no single language."""

    unmistakable: dict[str, list[str]]
    pairs: dict[str, list[str]]
    shared: list[str]
    names: list[str]

    def part(self, part: str) -> ShortTexts:
        """The nine tenths of the words that are trained on (`train`), or the others (`held-out`)."""

        def chosen(words: list[str]) -> list[str]:
            return [word for word in words if (zlib.crc32(word.encode()) % 10 == 0) == (part == "held-out")]

        return ShortTexts(
            {language: chosen(words) for language, words in self.unmistakable.items()},
            {language: chosen(words) for language, words in self.pairs.items()},
            chosen(self.shared),
            chosen(self.names),
        )

    def clear(self, language: str, rng: random.Random) -> str:
        """One or two unmistakable words of the language."""
        if self.pairs.get(language) and rng.random() < 0.4:
            return rng.choice(self.pairs[language])
        first = rng.choice(self.unmistakable[language])
        if language in {"zh", "ja"} or rng.random() < 0.6:
            return first
        return f"{first} {rng.choice(self.unmistakable[language])}"

    def unclear(self, rng: random.Random) -> str:
        """One or two words that occur in many languages: a name, a brand, a shared word."""
        if rng.random() < 0.4:
            word = rng.choice(self.names)
            return f"{word} {rng.choice(self.names)}" if rng.random() < 0.35 else word
        return rng.choice(self.shared)


def cached(corpora: Corpora, path: Path) -> ShortTexts:
    """The result of `find`, cached in a file."""
    if not path.exists():
        found = find(corpora)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(found), ensure_ascii=False), encoding="utf-8")
        partial.replace(path)
    return ShortTexts(**json.loads(path.read_text(encoding="utf-8")))


def find(corpora: Corpora) -> ShortTexts:
    """Short texts by the statistics of the corpora: where and how often a word occurs."""
    unmistakable: dict[str, list[str]] = {}
    shared: list[str] = []
    lexicon = Lexicon()
    for script, languages in SCRIPTS.items():
        if script == "han":
            continue
        spaced = {language: _words(corpora[language]) for language in languages}
        rates = {language: _rates(counts) for language, counts in spaced.items()}
        letters = {language: _Letters(counts) for language, counts in spaced.items()}
        for language in languages:
            others = [other for other in languages if other != language]
            unmistakable[language] = [
                word
                for word, count in spaced[language].items()
                if count >= 2
                and _only_here(word, language, others, rates)
                and (lexicon.belongs(word, language, script) or _sounds(word, language, others, letters))
                and not lexicon.disputed(word, language, script)
            ]
        shared += (
            [word for word in rates[languages[0]] if _everywhere(word, languages, rates)] if len(languages) > 3 else []
        )
        shared += _common(rates) if script in {"cyrillic", "arabic"} else []
        shared += [word for language in languages for word in spaced[language] if lexicon.widespread(word, script)]
    unmistakable |= _of_han(corpora, shared, lexicon)
    unmistakable["th"] = sorted({sentence[:7] for sentence in corpora["th"]})
    pairs = {language: _pairs(corpora[language], set(words)) for language, words in unmistakable.items()}
    return ShortTexts(unmistakable, pairs, sorted({*shared, *SHARED}), sorted({*NAMES, *_names(corpora)}))


def _names(corpora: Corpora) -> list[str]:
    """Words that are capitalized within the sentences of three languages and never in lower case."""
    inside: defaultdict[str, set[str]] = defaultdict(set)
    small: set[str] = set()
    for language in SCRIPTS["latin"]:
        for sentence in corpora[language]:
            words = re.findall(r"[^\W\d_]+", sentence)
            small.update(word.lower() for word in words if word.islower())
            if language != "de":
                for word in words[1:]:
                    if len(word) > 3 and word.istitle():
                        inside[word].add(language)
    return [word for word, languages in inside.items() if len(languages) >= 3 and word.lower() not in small]


def _pairs(sentences: list[str], clear: set[str]) -> list[str]:
    """Two adjacent words, of which one is unmistakable and neither a name."""
    found = set()
    for sentence in sentences:
        for first, second in re.findall(r"(?=\b([^\W\d_]+) ([^\W\d_]+)\b)", sentence):
            if (first in clear or second in clear) and (first + second).lower() == first + second:
                found.add(f"{first} {second}")
    return sorted(found)


def _words(sentences: list[str]) -> Counter[str]:
    """How often each word occurs in lower case or as a German noun."""
    counts: Counter[str] = Counter()
    for sentence in sentences:
        words = re.findall(r"[^\W\d_]+(?:[\u0300-\u036f\u0900-\u0dff]+[^\W\d_]*)*", sentence)
        counts.update(word for word in words if word == word.lower() or _NOUN.search(word))
    return counts


def _rates(counts: Counter[str]) -> dict[str, float]:
    whole = sum(counts.values())
    return {word: count / whole for word, count in counts.items()}


def _only_here(word: str, language: str, others: list[str], rates: dict[str, dict[str, float]]) -> bool:
    least = 4 if language not in {"vi", "hi", "ar", "ur", "fa"} else 2
    if len(word) < least:
        return False
    return all(rates[other].get(word, 0.0) == 0.0 for other in others)


def _everywhere(word: str, languages: list[str], rates: dict[str, dict[str, float]]) -> bool:
    return sum(word in rates[language] for language in languages) >= 4


def _common(rates: dict[str, dict[str, float]]) -> list[str]:
    first, second, third = rates.values()
    return [word for word in first if len(word) > 2 and word in second and word in third]


class _Letters:
    """A model of a language's spelling: letters given the three before."""

    def __init__(self, counts: Counter[str]) -> None:
        self.grams: defaultdict[str, float] = defaultdict(float)
        self.before: defaultdict[str, float] = defaultdict(float)
        for word, count in counts.items():
            padded = f"^^^{word}$"
            weight = 1 + math.log(count)
            for order in (1, 2, 3):
                for place in range(3, len(padded)):
                    self.grams[padded[place - order : place + 1]] += weight
                    self.before[padded[place - order : place]] += weight

    def score(self, word: str) -> float:
        """The logarithm of the word's likelihood as a word of the language."""
        padded, whole = f"^^^{word}$", 0.0
        for place in range(3, len(padded)):
            likelihood = 0.002
            for order in (1, 2, 3):
                before = padded[place - order : place]
                seen = self.before.get(before, 0.0)
                if seen:
                    here = self.grams.get(before + padded[place], 0.0) / seen
                    likelihood = (seen * here + 6.0 * likelihood) / (seen + 6.0)
            whole += math.log(likelihood)
        return whole


def _sounds(word: str, language: str, others: list[str], letters: dict[str, _Letters]) -> bool:
    own = letters[language].score(word)
    margin = 2.5 if len(others) > 2 else 1.0
    return all(own - letters[other].score(word) > margin for other in others)


def _of_han(corpora: Corpora, shared: list[str], lexicon: Lexicon) -> dict[str, list[str]]:
    """Chinese texts of two to four characters that are impossible in Japanese; those possible in both go to `shared`."""
    japanese = Counter("".join(corpora["ja"]))
    chinese = Counter("".join(corpora["zh"]))
    simplified = {sign for sign, count in chinese.items() if count >= 5 and sign.isalpha() and sign not in japanese}
    grams: Counter[str] = Counter()
    for sentence in corpora["zh"]:
        for part in re.findall(r"[\u4e00-\u9fff]+", sentence):
            grams.update(part[i : i + size] for size in (2, 3, 4) for i in range(len(part) - size + 1))
    clear = [
        gram
        for gram, count in grams.items()
        if count >= 3
        and any(sign in simplified for sign in gram)
        and lexicon.known(gram, "zh")
        and not lexicon.disputed(gram, "zh", "han")
    ]
    clear += [s.strip("。！？，…") for s in corpora["zh"] if len(s) <= 5]
    joined = "".join(corpora["ja"])
    both = (gram for gram, count in grams.items() if count >= 3 and len(gram) == 2 and "的" not in gram)
    shared += [gram for gram in both if joined.count(gram) >= 2][:300]
    kana = re.findall(r"[\u4e00-\u9fff]?[\u3041-\u30ff]{2,4}", joined)
    return {"zh": sorted(set(clear)), "ja": sorted(set(kana))}
