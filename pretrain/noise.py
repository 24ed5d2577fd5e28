"""Careless writing, and the parts of texts that belong to no language."""

from __future__ import annotations

import random
import re
import unicodedata

from pretrain.corpora import NO_SPACES

_LATIN = {"de", "en", "es", "fr", "tr", "vi", "ca", "cs", "fi", "hu", "id", "it", "nl", "pl", "pt", "ro", "sv", "zz"}
_BARE = str.maketrans("đĐłŁøØıİßœæ", "dDlLoOiIsoa")
_SITES = ["example", "shop", "news", "blog", "mysite", "forum", "photos", "mail", "docs", "maps", "travel", "music"]
_ENDINGS = ["com", "org", "net", "de", "fr", "es", "ru", "tr", "vn", "cn", "in", "gr", "io", "co.uk", "pk", "info"]
_EMOJI = "😀😂🤣😍😎🤔😭🙏👍👎🔥🎉❤️✨🚀🌍🍕🍎☕🐶🐱⚽🎵📷💡📌✅❌💯🌞🌙⭐🎂😡🙈🤷👀💪🥳😅"
_TAGWORDS = [
    "love",
    "travel",
    "news",
    "monday",
    "foodie",
    "tbt",
    "sale",
    "live",
    "win",
    "photo",
    "art",
    "music",
    "berlin",
    "paris",
    "istanbul",
    "covid",
    "euro2024",
    "wow",
]
_WORDPART = [
    "alex",
    "maria",
    "kim",
    "max",
    "lena",
    "ali",
    "omar",
    "nina",
    "pro",
    "dev",
    "real",
    "the",
    "official",
    "x007",
    "star",
    "sunny",
    "blue",
    "cat",
]


def careless(text: str, language: str, rng: random.Random) -> str:
    """The text as a hurried writer may leave it: case, punctuation, accents, letters and words lost."""
    if language not in NO_SPACES and rng.random() < 0.07:
        kept = [word for word in text.split() if rng.random() > 0.15]
        text = " ".join(kept) if len(kept) > 2 else text
    if rng.random() < 0.12:
        text = _mistyped(text, rng)
    if rng.random() < 0.14:
        text = without_marks(text, language)
    if rng.random() < 0.14:
        text = re.sub(r"[^\w\s\u0300-\u036f\u0900-\u0dff\u0e00-\u0e7f\u200c\u200d]", rng.choice(["", " "]), text)
    elif rng.random() < 0.08:
        text = text.rstrip(".!?。।۔") + rng.choice(["!!!", "...", "?!", "!", " :)", " ;-)", "…", " xD", "??"])
    draw = rng.random()
    if draw < 0.14:
        text = text.lower()
    elif draw < 0.20:
        text = text.upper()
    elif draw < 0.22:
        text = text.title()
    return re.sub(r"\s+", " ", text).strip()


def without_marks(text: str, language: str) -> str:
    """The text without accents and tone marks; scripts that need their marks stay as they are."""
    if language in _LATIN:
        stripped = "".join(sign for sign in unicodedata.normalize("NFD", text) if not unicodedata.combining(sign))
        return unicodedata.normalize("NFC", stripped.translate(_BARE))
    if language == "el":
        stripped = "".join(sign for sign in unicodedata.normalize("NFD", text) if sign != "\u0301")
        return unicodedata.normalize("NFC", stripped)
    if language in {"ar", "ur", "fa"}:
        return re.sub(r"[\u064b-\u0652\u0670\u0640]", "", text)
    return text.replace("ё", "е")


def _mistyped(text: str, rng: random.Random) -> str:
    signs = list(text)
    for _ in range(max(1, len(signs) // 25)):
        place = rng.randrange(len(signs))
        change = rng.random()
        if change < 0.35 and place + 1 < len(signs):
            signs[place], signs[place + 1] = signs[place + 1], signs[place]
        elif change < 0.7:
            signs[place] = ""
        else:
            signs[place] *= 2
    return "".join(signs)


def link(rng: random.Random) -> str:
    """A web address."""
    host = f"{rng.choice(_SITES)}{rng.choice(['', '-', str(rng.randrange(99))])}{rng.choice(_SITES)}"
    path = "/".join(
        rng.choice([*_SITES, str(rng.randrange(10000)), _random_name(rng)]) for _ in range(rng.randrange(4))
    )
    query = f"?id={rng.randrange(10000)}" if rng.random() < 0.2 else ""
    return f"{rng.choice(['https://', 'http://', 'www.', 'https://www.'])}{host}.{rng.choice(_ENDINGS)}/{path}{query}".rstrip(
        "/"
    )


def _random_name(rng: random.Random) -> str:
    return "".join(rng.choice("abcdefghijklmnoprstuvwyz0123456789") for _ in range(rng.randint(3, 9)))


def mail(rng: random.Random) -> str:
    """A mail address."""
    who = rng.choice(
        [
            _random_name(rng),
            f"{rng.choice(_WORDPART)}.{rng.choice(_WORDPART)}",
            rng.choice(["info", "kontakt", "office"]),
        ]
    )
    return f"{who}@{rng.choice(_SITES)}.{rng.choice(_ENDINGS)}"


def handle(rng: random.Random) -> str:
    """A user name with its at sign."""
    name = rng.choice(_WORDPART) + rng.choice(["", "_", "."]) + rng.choice([*_WORDPART, str(rng.randrange(2030))])
    return f"@{name}"


def tag(rng: random.Random) -> str:
    """A hashtag."""
    parts = [rng.choice(_TAGWORDS) for _ in range(rng.randint(1, 2))]
    return "#" + "".join(part.title() if rng.random() < 0.3 else part for part in parts)


def emoji(rng: random.Random) -> str:
    """One to three emoji."""
    return "".join(rng.choice(_EMOJI) for _ in range(rng.randint(1, 3)))


def number(rng: random.Random) -> str:
    """A number as people write them: plain, prices, dates, times, telephone numbers, shares."""
    n = rng.randrange(10 ** rng.randint(1, 6))
    forms = [
        f"{n}", f"{n:,}", f"{n / 100:.2f}", f"${n / 100:.2f}", f"{n} €", f"{n}%", f"+{rng.randint(1, 99)} {n:06d}",
        f"{rng.randint(1, 31)}.{rng.randint(1, 12)}.{rng.randint(1950, 2030)}", f"{rng.randint(0, 23)}:{rng.randint(0, 59):02d}",
        f"{rng.randint(1950, 2030)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}", f"{rng.randint(1, 12)}/{rng.randint(1, 28)}",
        f"({rng.randint(100, 999)}) {rng.randint(100, 999)}-{rng.randint(1000, 9999)}", f"№{n}", f"#{n}", f"£{n}", f"{n}°", f"¥{n}",
        f"192.168.{rng.randrange(256)}.{rng.randrange(256)}", f"{rng.randrange(10)}.{rng.randrange(10)}.{rng.randrange(20)}",
    ]  # fmt: skip
    return rng.choice(forms)


def symbols(rng: random.Random) -> str:
    """A few signs that are neither letters nor digits."""
    return "".join(rng.choice("+-*/=<>%&!?.,;:()[]{}#@$€£^~|_→←✓•…—§±×÷≈") for _ in range(rng.randint(1, 6)))


def wordless(rng: random.Random) -> str:
    """A text of digits, signs and emoji alone."""
    pieces = [rng.choice([number, number, number, symbols, emoji]) for _ in range(rng.choice([1, 1, 2, 3, 4, 6, 8]))]
    if rng.random() < 0.2:
        pieces = [number] * len(pieces)
        return rng.choice([" + ", " - ", " = ", ", ", "; ", "\n", " / "]).join(piece(rng) for piece in pieces)
    return " ".join(piece(rng) for piece in pieces)


def surrounded(text: str, rng: random.Random) -> str:
    """The text with links, addresses, handles, tags, emoji and numbers before, after or within it."""
    words = text.split(" ")
    for _ in range(rng.choice([1, 1, 2, 2, 3, 4, 5])):
        piece = rng.choice([link, mail, handle, tag, tag, emoji, emoji, number])(rng)
        place = rng.choice([0, len(words), rng.randint(0, len(words))])
        words.insert(place, piece)
    return " ".join(words)
