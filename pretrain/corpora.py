"""The corpora directory: its languages, its sentences and the split that keeps the last 5% out of training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

TRAINED_SHARE = 0.95

NAMES = {
    "ar": "Arabic",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "fr": "French",
    "hi": "Hindi",
    "ru": "Russian",
    "tr": "Turkish",
    "ur": "Urdu",
    "vi": "Vietnamese",
    "zh": "Chinese",
}
"""The twelve languages of the shipped label set."""

OTHERS = {
    "bg": "Bulgarian",
    "ca": "Catalan",
    "cs": "Czech",
    "fa": "Persian",
    "fi": "Finnish",
    "hu": "Hungarian",
    "id": "Indonesian",
    "it": "Italian",
    "ja": "Japanese",
    "ka": "Georgian",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "sv": "Swedish",
    "ta": "Tamil",
    "th": "Thai",
    "uk": "Ukrainian",
}
"""Languages that are trained on as "other", or as listed ones if a prompt adds them."""

KEPT_OUT = {"ko": "Korean", "rw": "Kinyarwanda"}
"""Languages that nothing is trained on, the tokenizer included; they measure how "other" generalises."""

ALL_NAMES = NAMES | OTHERS
NO_SPACES = {"zh", "ja", "th"}


@dataclass(frozen=True)
class Corpora:
    """Sentences by language code."""

    sentences: dict[str, list[str]]

    def __getitem__(self, language: str) -> list[str]:
        return self.sentences[language]


def read(folder: Path, part: str = "train") -> Corpora:
    """The sentences of every language: `train` is the first 95% of each file, `held-out` the rest."""
    if part not in {"train", "held-out"}:
        raise ValueError(f"no part {part!r}: train or held-out")
    found = {}
    languages = ALL_NAMES if part == "train" else ALL_NAMES | KEPT_OUT
    for language in languages:
        lines = (folder / f"{language}.txt").read_text(encoding="utf-8").splitlines()
        cut = int(len(lines) * TRAINED_SHARE)
        found[language] = lines[:cut] if part == "train" else lines[cut:]
    return Corpora(found)


def word_count(text: str, language: str) -> float:
    """The number of words; for a script without spaces, estimated from the number of characters."""
    if language in NO_SPACES:
        return len(text) / (4.0 if language == "th" else 1.7)
    return float(len(text.split()))
