"""Program code, markup and command lines, with or without words in comments and strings."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Style:
    """Lines of one programming language; `#n` a name, `#v` a verb, `#d` a number, `#t` a technical string."""

    comments: tuple[str, ...]
    strings: tuple[str, ...]
    lines: tuple[str, ...]


def _read(name: str) -> str:
    return (Path(__file__).parent / "data" / name).read_text(encoding="utf-8")


def _styles() -> list[Style]:
    """The programming languages of `data/code.txt`, where each line is a comment, a string or any other line of a program."""
    found = []
    for part in _read("code.txt").split("==\n")[1:]:
        lines = [line.split(" ", 1) for line in part.rstrip("\n").split("\n")]
        kinds = (tuple(text for kind, text in lines if kind == wanted) for wanted in ("comment", "string", "line"))
        found.append(Style(*kinds))
    return found


STYLES = _styles()
_NAMES = _read("code_names.txt").split()
_VERBS = _read("code_verbs.txt").split()
_TECHNICAL = _read("code_strings.txt").rstrip("\n").split("\n")


def _filled(line: str, rng: random.Random, names: list[str]) -> str:
    def fill(match: re.Match[str]) -> str:
        slot = match.group(0)
        if slot == "#N":
            return _name(rng, names).title().replace("_", "")
        return {"#n": _name, "#v": _verb, "#d": _digits, "#t": _technical}[slot](rng, names)

    return re.sub(r"#(?!define)[nNvdt]", fill, line)


def _name(rng: random.Random, names: list[str]) -> str:
    first = rng.choice(names)
    return f"{first}_{rng.choice(_NAMES)}" if rng.random() < 0.15 else first


def _verb(rng: random.Random, names: list[str]) -> str:
    return rng.choice(_VERBS)


def _digits(rng: random.Random, names: list[str]) -> str:
    return str(rng.randrange(10 ** rng.randint(1, 4)))


def _technical(rng: random.Random, names: list[str]) -> str:
    return rng.choice(_TECHNICAL)


def _own_names(rng: random.Random) -> list[str]:
    """Names of a snippet: mostly usual ones, sometimes invented ones."""
    names = rng.sample(_NAMES, 6)
    if rng.random() < 0.4:
        names += ["".join(rng.choice("abcdefghiklmnoprstuvw") for _ in range(rng.randint(3, 8))) for _ in range(3)]
    return names


def _body(style: Style, rng: random.Random, names: list[str], most: int) -> list[str]:
    count = rng.randint(1, most)
    if rng.random() < 0.5:
        start = rng.randrange(len(style.lines))
        chosen = list(style.lines[start : start + count])
    else:
        chosen = [rng.choice(style.lines) for _ in range(count)]
    return [_filled(line, rng, names) for line in chosen]


def bare(rng: random.Random) -> str:
    """Code without a word of any language."""
    style, names = rng.choice(STYLES), _own_names(rng)
    lines = _body(style, rng, names, 7)
    if rng.random() < 0.25:
        lines.append(_filled(rng.choice(style.strings), rng, names).replace("{}", rng.choice(_TECHNICAL)))
    return _joined(lines, rng)


def with_words(texts: list[str], rng: random.Random) -> str:
    """Code whose comments or strings are the texts."""
    style, names = rng.choice(STYLES), _own_names(rng)
    lines = _body(style, rng, names, 5)
    for text in texts:
        kind = style.comments if rng.random() < 0.6 else style.strings
        line = _filled(rng.choice(kind), rng, names).replace("{}", text.replace('"', "").replace("\n", " "))
        if kind is style.comments and rng.random() < 0.25 and not line.startswith("<!--"):
            place = rng.randrange(len(lines))
            lines[place] += f"  {line}"
        else:
            lines.insert(rng.randint(0, len(lines)), line)
    return _joined(lines, rng)


def _joined(lines: list[str], rng: random.Random) -> str:
    draw = rng.random()
    if draw < 0.12:
        return " ".join(line.strip() for line in lines)
    if draw < 0.2:
        return "```\n" + "\n".join(lines) + "\n```"
    return "\n".join(lines)
