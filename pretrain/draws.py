"""Which kinds of cases are drawn, of which languages."""

from __future__ import annotations

import random
from dataclasses import dataclass

from pretrain.cases import any_other
from pretrain.corpora import NAMES
from pretrain.policy import TURNED_MODES, Policy
from pretrain.romanize import ROMANIZED

KINDS = {
    "plain": 0.45, "noisy": 0.06, "number": 0.03, "code": 0.06, "bare": 0.03, "mixed": 0.10, "even": 0.09,
    "short": 0.08, "shared": 0.04, "romanized": 0.035, "unknown": 0.025, "instruction": 0.005,
}  # fmt: skip
TRAINED_KINDS = KINDS | {"plain": 0.36, "mixed": 0.15, "even": 0.14, "short": 0.15, "shared": 0.08}
"""What is sampled in training: more of what is hard."""


def usual(rng: random.Random, kinds: dict[str, float] = KINDS) -> tuple[str, str]:
    """A kind and a language as they occur with the shipped prompt."""
    kind = rng.choices(list(kinds), list(kinds.values()))[0]
    listed = 0.86 if kind in {"code", "mixed", "even", "short"} else 0.78
    return kind, rng.choice(list(NAMES)) if rng.random() < listed else any_other(rng)


def affected(policy: Policy) -> list[Draw]:
    """Samples the kinds of cases whose answers differ from those with the shipped prompt."""
    draws: list[Draw] = []
    listed = list(policy.labels)
    removed = [language for language in NAMES if language not in policy.labels]
    added = [language for language in policy.labels if language not in NAMES]
    kinds = ["plain", "plain", "plain", "noisy", "mixed", "code", "short"]
    if removed:
        draws.append(Draw(kinds, removed))
    if added:
        draws.append(Draw(kinds, added))
    if len(removed) > 4 or any(label != language for language, label in policy.labels.items()):
        draws += [Draw(["plain"], listed)] * 2
    for rule, mode in TURNED_MODES.items():
        if policy.modes.get(rule) == mode or (len(removed) > 4 and rule in policy.modes):
            own = [language for language in listed if rule != "romanized" or language in ROMANIZED]
            draws.append(Draw(_KINDS_OF[rule], own or listed))
    return draws


@dataclass(frozen=True)
class Draw:
    """Kinds and languages of which each call draws one pair."""

    kinds: list[str]
    languages: list[str]

    def __call__(self, rng: random.Random) -> tuple[str, str]:
        """A kind and a language."""
        return rng.choice(self.kinds), rng.choice(self.languages)


_KINDS_OF = {
    "numbers": ["number"],
    "code": ["code", "code", "bare"],
    "mixed": ["even"],
    "short": ["short"],
    "romanized": ["romanized"],
}
