"""The training data as a stream: the batch of a step is a function of the seed and the step alone."""

from __future__ import annotations

import bisect
import json
import random
import re
from dataclasses import dataclass, replace
from pathlib import Path

from tokenizers import Tokenizer

from pretrain import probes
from pretrain.cases import Composer, any_other
from pretrain.corpora import ALL_NAMES, NAMES, OTHERS, Corpora
from pretrain.draws import TRAINED_KINDS, affected, usual
from pretrain.labels import OTHER
from pretrain.layout import Group, Query
from pretrain.policy import TURNED_MODES, Case, Policy, answer
from pretrain.prompts import Odds, Prompt, Shipped, composed, draw_brief, draw_policy
from pretrain.tokenizer import TURN_END
from pretrain.words import ShortTexts

EVERYDAY = 0.22
"""The fraction of everyday sentences in training."""
_SYSTEM = "<|im_start|>system\n"
CONTINUED = 24
"""The most tokens of a continuation, if there is no prompt."""


@dataclass(frozen=True)
class Stage:
    """The composition of a step: queries with the shipped prompt; numbers of edits, compositions and brief prompts, each with its queries.

    `read` prompts of all forms have no queries: they teach the lower layers to read.
    """

    exact: int
    edited: tuple[int, int]
    composed: tuple[int, int]
    brief: tuple[int, int]
    read: int
    promptless: int
    odds: Odds


def stage(progress: float) -> Stage:
    """The stage at a share of the training: identification, then reading, then the shipped prompt more and more."""
    if progress < 0.06:
        return Stage(32, (0, 0), (4, 20), (0, 0), 0, 2, Odds(remove=0.3, add=0.2, turn=0.0, leave_out=0.3, other=0.0))
    odds = Odds(remove=0.6, add=0.3, turn=0.4, leave_out=0.06, swap=0.08, upper=0.03, names=0.03, words=0.05)
    if progress < 0.45:
        return Stage(24, (3, 10), (2, 8), (2, 8), 14, 2, odds)
    return Stage(40, (3, 11), (2, 8), (1, 8), 8, 3, odds)


GOING_ON = Stage(
    80, (3, 11), (3, 9), (1, 8), 6, 2,
    Odds(remove=0.5, add=0.3, turn=0.35, leave_out=0.06, swap=0.12, upper=0.03, names=0.03, words=0.10),
)  # fmt: skip
"""The composition of every step when a finished model is trained further."""


class Encoder:
    """Prompts, queries and answers as the chat template has them, in tokens."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.whole = tokenizer
        self.pieces = Tokenizer.from_str(tokenizer.to_str())
        self.pieces.model.dropout = 0.1
        self.tail = tokenizer.encode("<|im_end|>\n<|im_start|>assistant\n").ids
        self.head = tokenizer.encode("<|im_start|>user\n").ids
        self.end = tokenizer.encode(TURN_END).ids[0]
        self._prompts: dict[str, list[int]] = {}

    def prompt(self, text: str) -> list[int]:
        """The system message of a prompt."""
        if text not in self._prompts:
            if len(self._prompts) > 50:
                self._prompts.clear()
            self._prompts[text] = self.whole.encode(f"{_SYSTEM}{text}<|im_end|>\n").ids
        return self._prompts[text]

    def marks(self, prompt: Prompt) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """The positions in the prompt's tokens of each language's label and of each rule's end, with its meaning."""
        whole = f"{_SYSTEM}{prompt.text}"
        stops = [stop for _, stop in self.whole.encode(whole).offsets]
        names, rules = [], []
        for index, (language, name) in enumerate([*ALL_NAMES.items(), ("zz", "Other")]):
            label = prompt.policy.other if language == "zz" else prompt.policy.labels.get(language)
            start = -1 if label is None else whole.find(f"{name}:{label}")
            if start >= 0:
                names.append((bisect.bisect_left(stops, start + len(f"{name}:{label}")), index))
        for rule, sentence in prompt.rules.items():
            if rule in TURNED_MODES:
                end = whole.index(sentence) + len(sentence)
                rules.append((bisect.bisect_left(stops, end), probes.rule_class(rule, prompt.policy)))
        return names, rules

    def query(self, text: str, reply: str, broken: bool = False) -> Query:
        """A user message and its reply; with `broken`, words are split into smaller pieces than necessary."""
        ids = (self.pieces if broken else self.whole).encode(text).ids
        response = [*self.whole.encode(reply).ids, self.end]
        return Query([*self.head, *ids, *self.tail, *response], len(response))


class Stream:
    """Groups of prompts and queries by step."""

    def __init__(
        self,
        corpora: Corpora,
        short: ShortTexts,
        tokenizer: Tokenizer,
        prompt: str,
        seed: int,
        goes_on: bool = False,
        reserved: frozenset[str] = frozenset(),
    ) -> None:
        self.corpora = corpora
        self.composer = Composer(corpora, short, EVERYDAY)
        self.encoder = Encoder(tokenizer)
        self.shipped = Shipped(prompt)
        self.seed = seed
        self.goes_on = goes_on
        self.reserved = reserved

    def groups(self, step: int, progress: float) -> list[Group]:
        """The groups of a step."""
        rng = random.Random(f"{self.seed}-{step}")  # noqa: S311
        now = GOING_ON if self.goes_on else stage(progress)
        prompts = [(self.shipped.exact(), now.exact)]
        prompts += [(self.shipped.edited(draw_policy(rng, now.odds), rng), now.edited[1]) for _ in range(now.edited[0])]
        prompts += [(composed(draw_policy(rng, now.odds), rng), now.composed[1]) for _ in range(now.composed[0])]
        prompts += [(composed(draw_brief(rng), rng, brief=True), now.brief[1]) for _ in range(now.brief[0])]
        groups = [self._group(prompt, count, rng) for prompt, count in prompts if count]
        groups += [self._group(self._any(now.odds, rng), 0, rng) for _ in range(now.read)]
        if now.promptless:
            groups.append(Group([], [self.continued(rng) for _ in range(now.promptless)]))
        return groups

    def _any(self, odds: Odds, rng: random.Random) -> Prompt:
        """A prompt of any form, brief ones most often."""
        draw = rng.random()
        if draw < 0.7:
            return composed(draw_brief(rng), rng, brief=True)
        policy = draw_policy(rng, odds)
        return self.shipped.edited(policy, rng) if draw < 0.85 else composed(policy, rng)

    def _group(self, prompt: Prompt, count: int, rng: random.Random) -> Group:
        focus = affected(prompt.policy)
        queries: list[Query] = []
        while len(queries) < count:
            case = self.composer.compose(
                *(rng.choice(focus)(rng) if focus and rng.random() < 0.6 else usual(rng, TRAINED_KINDS)), rng
            )
            label = answer(prompt.policy, case)
            if label is not None and case.text and bare_words(case.text) not in self.reserved:
                query = self.encoder.query(case.text[:600], label, rng.random() < 0.3)
                changed = label != answer(Policy(), case)
                language, kind = probes.truth("zz" if case.kind == "unknown" else case.language, case.kind)
                queries.append(
                    replace(
                        query, tag=_tag(prompt.policy, case) if changed else case.kind, language=language, kind=kind
                    )
                )
        return Group(self.encoder.prompt(prompt.text), queries, *self.encoder.marks(prompt))

    def continued(self, rng: random.Random) -> Query:
        """A text without a prompt, whose answer is its continuation."""
        while True:
            language = rng.choice(list(NAMES)) if rng.random() < 0.8 else any_other(rng)
            words = self.composer.passage(language, rng).split(" ")
            if len(words) < 6:
                words = list(words[0]) if len(words) == 1 and len(words[0]) > 12 else []
            if not words:
                continue
            joint = "" if len(words[0]) == 1 and len(words[1]) == 1 and len(words[2]) == 1 else " "
            cut = rng.randint(3, len(words) - 3)
            text, rest = joint.join(words[:cut]), joint.join(words[cut:])
            response = self.encoder.query(text, rest)
            if response.answers > CONTINUED:
                surplus = response.answers - CONTINUED
                response = Query(response.ids[:-surplus], CONTINUED)
            return replace(response, tag="promptless", language=probes.LANGUAGES.index(language))


def _tag(policy: Policy, case: Case) -> str:
    """Why the answer differs from the one with the shipped prompt, for the log."""
    if any(label != language for language, label in policy.labels.items()):
        return "relabelled"
    if policy.other != OTHER and answer(policy, case) == policy.other:
        return "other-label"
    if case.language in NAMES and case.language not in policy.labels:
        return "removed"
    return "added" if case.language in OTHERS and case.kind != "number" else f"turned-{case.kind}"


def bare_words(text: str) -> str:
    """Only the text's words, in lower case; texts without words all look the same."""
    return " ".join(re.findall(r"\w+", text.lower()))


def read_reserved(folder: Path) -> frozenset[str]:
    """The bare words of all queries in the directory's JSON Lines files."""
    lines = [line for path in sorted(folder.glob("*.jsonl")) for line in path.read_text("utf-8").splitlines()]
    return frozenset(bare_words(json.loads(line)["query"]) for line in lines) - {""}


def read_prompt(path: Path) -> str:
    """The shipped prompt."""
    return path.read_text(encoding="utf-8")
