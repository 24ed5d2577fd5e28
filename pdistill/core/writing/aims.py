"""The aims of written queries: one for each label, and one for each rule that the prompt states."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pdistill.core.writing.shots import without_shots

ITEM = re.compile(r"^\s*(?:[-*+\u2022]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s+(?=\S)")
HEADING = re.compile(r"^\s*#|:\s*$")
SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
MAX_NAME_CHARACTERS = 40
"""Characters of a rule that the name of its slice contains."""


@dataclass(frozen=True, slots=True)
class Aim:
    """What a requested query must be like.

    Args:
        name: the name of the slice that the query belongs to.
        label: the correct answer to it, or None.
        rule: the part of the prompt that matters for it, or None; without both, any query is fine.
    """

    name: str
    label: str | None = None
    rule: str | None = None


ANY = Aim("any")
"""The aim of a prompt that has neither labels nor rules."""


def aims_of(prompt: str, labels: Sequence[str], *, with_rules: bool) -> list[Aim]:
    """Return the aims, those for labels first; a line that only defines a label does not count as a rule."""
    aims = [Aim(f"asked for {label}", label=label) for label in labels]
    if with_rules:
        rules = [rule for rule in rules_of(prompt) if not any(_defines(rule, label) for label in labels)]
        aims += [Aim(f"rule {at}: {_short(rule)}", rule=rule) for at, rule in enumerate(rules, start=1)]
    return aims or [ANY]


def rules_of(prompt: str) -> list[str]:
    """Return the rules that a prompt states: the items of its lists; without a list, its lines or sentences.

    The examples of a few-shot prompt are not rules.
    """
    lines = [line for line in without_shots(prompt).splitlines() if line.strip()]
    items: list[str] = []
    for line in lines:
        if ITEM.match(line):
            items.append(ITEM.sub("", line).strip())
        elif items and line[:1].isspace():
            items[-1] += " " + line.strip()
    if len(items) > 1:
        return items
    statements = [line.strip() for line in lines if not HEADING.search(line)]
    return statements if len(statements) > 2 else [part for line in statements for part in SENTENCE.split(line)]


def _defines(rule: str, label: str) -> bool:
    return re.search(rf"(?::|=|\u2192|->)\s*[\"'`]?{re.escape(label)}(?!\w)", rule) is not None


def _short(rule: str) -> str:
    return rule if len(rule) <= MAX_NAME_CHARACTERS else f"{rule[:MAX_NAME_CHARACTERS].rsplit(' ', 1)[0]}\u2026"
