"""What a prompt asks for, and the label that a text gets under it."""

from __future__ import annotations

from dataclasses import dataclass, field

from pretrain.corpora import NAMES
from pretrain.labels import OTHER

BASE_MODES = {
    "script": "base",
    "noise": "base",
    "numbers": "ot",
    "code": "comments",
    "mixed": "dominant",
    "short": "unmistakable",
    "romanized": "ot",
    "spelling": "base",
}
TURNED_MODES = {"numbers": "own", "code": "ot", "mixed": "first", "short": "ot", "romanized": "counts"}


@dataclass(frozen=True)
class Case:
    """A text and its properties, independent of any prompt.

    `kind` is plain, noisy, number, code, bare (code without a word), mixed (one language dominates), even,
    short (one or two unmistakable words), shared (one or two words of several languages), romanized or
    unknown (a language that no prompt lists). `language` is that of the words, the dominant or the first one.
    """

    text: str
    kind: str
    language: str = ""


@dataclass(frozen=True)
class Policy:
    """The labels of a prompt and the modes of its rules; a rule that the prompt leaves out has no mode."""

    labels: dict[str, str] = field(default_factory=lambda: {language: language for language in NAMES})
    other: str = OTHER
    modes: dict[str, str] = field(default_factory=lambda: dict(BASE_MODES))
    number_label: str = "num"


def answer(policy: Policy, case: Case) -> str | None:
    """The label of the case under the policy; None if the policy leaves it open."""
    own = policy.labels.get(case.language, policy.other)
    if case.kind in {"plain", "noisy"}:
        return own
    if case.kind == "unknown":
        return policy.other
    if case.kind == "number":
        return policy.number_label if policy.modes.get("numbers") == "own" else policy.other
    rule = {"bare": "code", "even": "mixed", "shared": "short"}.get(case.kind, case.kind)
    mode = policy.modes.get(rule)
    if mode is None:
        return None
    if case.kind in {"bare", "shared"} or mode == "ot":
        return policy.other
    if case.kind == "even":
        return own if mode == "first" else policy.other
    return own
