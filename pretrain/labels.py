"""The label strings that prompts may use; every one of them is a single token."""

from __future__ import annotations

from pretrain.corpora import ALL_NAMES

OTHER = "ot"
CODES = [*ALL_NAMES, OTHER]
UPPER_CODES = [code.upper() for code in CODES]
ENGLISH_NAMES = [*ALL_NAMES.values(), "Other"]
NUMBER_LABELS = ["num", "dig", "sym", "nil", "fig", "nw"]
OTHER_LABELS = ["xx", "zz", "un", "unk", "else", "none"]
LETTERS = list("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
WORDS = [
    "red",
    "blue",
    "green",
    "black",
    "white",
    "brown",
    "grey",
    "pink",
    "gold",
    "silver",
    "apple",
    "pear",
    "plum",
    "lemon",
    "cherry",
    "fig",
    "oak",
    "pine",
    "elm",
    "ash",
    "north",
    "south",
    "east",
    "west",
    "sun",
    "moon",
    "star",
    "rain",
    "snow",
    "wind",
    "river",
    "lake",
    "hill",
    "rock",
    "sand",
    "stone",
    "iron",
    "copper",
    "lion",
    "wolf",
    "bear",
    "fox",
]

SINGLE_TOKENS = sorted({*CODES, *UPPER_CODES, *ENGLISH_NAMES, *NUMBER_LABELS, *OTHER_LABELS, *LETTERS, *WORDS})
