"""Prompts and what they ask for: the shipped one, edits of it, and others composed of many wordings."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field, replace

from pretrain import wordings
from pretrain.corpora import ALL_NAMES, NAMES, OTHERS
from pretrain.labels import LETTERS, NUMBER_LABELS, OTHER, OTHER_LABELS, WORDS
from pretrain.policy import BASE_MODES, TURNED_MODES, Policy
from pretrain.spintax import expand


@dataclass(frozen=True)
class Prompt:
    """A prompt's text, the policy that it states, and the sentences that state its rules."""

    text: str
    policy: Policy
    rules: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Odds:
    """How often a drawn policy departs from the shipped one, and in what."""

    remove: float = 0.5
    add: float = 0.35
    turn: float = 0.3
    leave_out: float = 0.12
    swap: float = 0.0
    upper: float = 0.0
    names: float = 0.0
    words: float = 0.0
    other: float = 0.1


BRIEF = Odds(turn=0.5, leave_out=0.5, swap=0.10, upper=0.05, names=0.05, words=0.08, other=0.08)


def draw_brief(rng: random.Random) -> Policy:
    """A policy of three to seven languages and few rules, for prompts that are quickly read."""
    policy = draw_policy(rng, replace(BRIEF, remove=0.0, add=0.0, swap=0.0, upper=0.0, names=0.0, words=0.0))
    listed = rng.sample(list(NAMES), rng.randint(3, 6)) + rng.sample(list(OTHERS), rng.choice([0, 0, 0, 1, 1, 2]))
    modes = {rule: mode for rule, mode in policy.modes.items() if rule in TURNED_MODES or rng.random() < 0.2}
    fresh = replace(policy, labels={language: language for language in listed}, modes=modes, other=OTHER)
    return relabelled(fresh, rng, BRIEF)


def draw_policy(rng: random.Random, odds: Odds) -> Policy:
    """A policy that departs from the shipped one as the odds have it."""
    languages = list(NAMES)
    if rng.random() < odds.remove:
        removed = rng.sample(languages, rng.choice([1, 1, 2, 2, 3, 4, 5, 6, 8]))
        languages = [language for language in languages if language not in removed]
    if rng.random() < odds.add:
        languages += rng.sample(list(OTHERS), rng.choice([1, 1, 2, 3, 4]))
    modes = {}
    for rule, mode in BASE_MODES.items():
        if rule in TURNED_MODES and rng.random() < odds.turn:
            mode = TURNED_MODES[rule]
        elif rng.random() < (odds.leave_out if rule in TURNED_MODES else 3 * odds.leave_out):
            continue
        modes[rule] = mode
    policy = Policy({language: language for language in languages}, OTHER, modes, rng.choice(NUMBER_LABELS))
    return relabelled(policy, rng, odds)


def relabelled(policy: Policy, rng: random.Random, odds: Odds) -> Policy:
    """The policy with its labels swapped, of another set, or as they were."""
    languages = list(policy.labels)
    draw = rng.random()
    for chance, change in ((odds.swap, "swap"), (odds.upper, "upper"), (odds.names, "names"), (odds.words, "words")):
        if draw < chance:
            return _CHANGES[change](policy, languages, rng)
        draw -= chance
    return replace(policy, other=rng.choice(OTHER_LABELS)) if rng.random() < odds.other else policy


def _swapped(policy: Policy, languages: list[str], rng: random.Random) -> Policy:
    """Labels exchanged among some or all languages."""
    moved = rng.sample(languages, rng.randint(2, len(languages)))
    labels = dict(policy.labels)
    labels |= {language: policy.labels[other] for language, other in zip(moved, moved[1:] + moved[:1], strict=True)}
    return replace(policy, labels=labels)


def _upper(policy: Policy, languages: list[str], rng: random.Random) -> Policy:
    labels = {language: label.upper() for language, label in policy.labels.items()}
    return replace(policy, labels=labels, other=policy.other.upper())


def _names(policy: Policy, languages: list[str], rng: random.Random) -> Policy:
    return replace(policy, labels={language: ALL_NAMES[language] for language in languages}, other="Other")


def _words(policy: Policy, languages: list[str], rng: random.Random) -> Policy:
    pool = rng.sample(LETTERS if rng.random() < 0.5 else WORDS, len(languages) + 1)
    return replace(policy, labels=dict(zip(languages, pool[1:], strict=True)), other=pool[0])


_CHANGES = {"swap": _swapped, "upper": _upper, "names": _names, "words": _words}


class Shipped:
    """The shipped prompt, taken apart so that it can be edited."""

    def __init__(self, text: str) -> None:
        self.text = text
        head, rest = text.split("# Labels\n")
        labels, rules = rest.split("# Rules\n")
        self.head = head
        self.list_head, *lines = labels.strip("\n").split("\n")
        self.lines = {line.split(":")[1].split()[0]: line for line in lines}
        self.rules = {line.split(".")[0].lower(): line for line in rules.strip("\n").split("\n")}

    def exact(self) -> Prompt:
        """The prompt as it is shipped."""
        return Prompt(self.text, Policy(), self.rules)

    def edited(self, policy: Policy, rng: random.Random) -> Prompt:
        """The shipped prompt changed where the policy departs from its own."""
        lines = [self._line(language, label, rng) for language, label in policy.labels.items()]
        if rng.random() < 0.3:
            rng.shuffle(lines)
        lines.append(self.lines[OTHER].replace(":ot ", f":{policy.other} "))
        rules = {rule: self._rule(rule, mode, policy, rng) for rule, mode in policy.modes.items()}
        sentences = list(rules.values())
        if rng.random() < 0.3:
            rng.shuffle(sentences)
        parts = [f"{self.head}# Labels", self.list_head, *lines, "", "# Rules", *sentences]
        return Prompt("\n".join(parts) + self.text[len(self.text.rstrip("\n")) :], policy, rules)

    def _line(self, language: str, label: str, rng: random.Random) -> str:
        if language in self.lines:
            return self.lines[language].replace(f":{language} ", f":{label} ")
        return f"{ALL_NAMES[language]}:{label} ({rng.choice(wordings.OTHER_DESCRIPTIONS)})"

    def _rule(self, rule: str, mode: str, policy: Policy, rng: random.Random) -> str:
        if mode == BASE_MODES[rule]:
            return re.sub(r"\bot\b", policy.other, self.rules[rule])
        turned = wordings.RULES[rule][mode]
        wording = expand(turned[0] if rng.random() < 0.5 else rng.choice(turned), rng)
        title = f"{rule.capitalize()}. "
        wording = wording if wording.startswith(title) else title + wording
        return wording.format(ot=policy.other, num=policy.number_label)


def composed(policy: Policy, rng: random.Random, unseen: bool = False, brief: bool = False) -> Prompt:
    """A prompt in other words, orders and forms; with `unseen`, in wordings that nothing is trained on."""
    intro = rng.choice(wordings.UNSEEN_INTRO if unseen else wordings.INTRO)
    form = (
        [rng.choice(wordings.UNSEEN_FORMAT)]
        if unseen
        else rng.sample(wordings.FORMAT, rng.randint(0, 1) if brief else rng.randint(1, 3))
    )
    head = " ".join(expand(part, rng) for part in [intro, *form])
    rules = {rule: _sentence(rule, policy, rng, unseen) for rule in policy.modes}
    blocks = [_label_list(policy, rng, unseen, brief), _rule_list(list(rules.values()), rng)]
    if rng.random() < 0.15:
        blocks.reverse()
    gap = rng.choice(["\n\n", "\n\n", "\n"])
    return Prompt(gap.join([head, *(block for block in blocks if block)]) + rng.choice(["", "\n"]), policy, rules)


def _label_list(policy: Policy, rng: random.Random, unseen: bool, brief: bool) -> str:
    described = 0.0 if brief else rng.choice([0.0, 0.3, 1.0])
    entries = []
    for language, label in policy.labels.items():
        texts = wordings.DESCRIPTIONS.get(language, wordings.OTHER_DESCRIPTIONS)
        text = f" ({rng.choice(texts)})" if rng.random() < described else ""
        entries.append(f"{ALL_NAMES[language]}:{label}{text}")
    if rng.random() < 0.8:
        rng.shuffle(entries)
    text = f" ({expand(rng.choice(wordings.OTHER_TEXT), rng)})" if rng.random() < 0.7 else ""
    entries.insert(len(entries) if rng.random() < 0.8 else rng.randint(0, len(entries)), f"Other:{policy.other}{text}")
    if policy.modes.get("numbers") == "own" and rng.random() < 0.4:
        entries.append(f"Numbers:{policy.number_label}")
    joint, before = rng.choice([("\n", ""), ("\n", ""), ("\n", "- "), ("\n", "* "), (", ", ""), ("; ", ""), (" ", "")])
    heads = wordings.UNSEEN_LIST_HEAD if unseen else wordings.LIST_HEAD
    return expand(rng.choice(heads), rng) + "\n" + joint.join(before + entry for entry in entries)


def _sentence(rule: str, policy: Policy, rng: random.Random, unseen: bool) -> str:
    """A wording of a rule in the mode that the policy has it in."""
    wording = expand(rng.choice((wordings.UNSEEN if unseen else wordings.RULES)[rule][policy.modes[rule]]), rng)
    wording = wording.format(ot=policy.other, num=policy.number_label)
    label_first = wording.startswith((policy.other, policy.number_label))
    return wording if label_first else wording[:1].upper() + wording[1:]


def _rule_list(lines: list[str], rng: random.Random) -> str:
    rng.shuffle(lines)
    if not lines:
        return ""
    style = rng.choice(["lines", "lines", "dashes", "numbers", "flow"])
    head = expand(rng.choice(wordings.RULES_HEAD), rng)
    if style == "flow":
        return " ".join(lines)
    marks = {"lines": "", "dashes": "- ", "numbers": "{}. "}[style]
    body = "\n".join(marks.format(index) + line for index, line in enumerate(lines, 1))
    return f"{head}\n{body}" if head else body
