"""What the student has forgotten: how far its next-token distribution is from the base's away from its task."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pdistill.core.contract.interfaces import TokenScores
from pdistill.core.numerics.estimates import Amount, Count, Estimate
from pdistill.core.numerics.statistics import mean
from pdistill.core.probes.asking import answers_to
from pdistill.core.probes.not_run import NO_ROOM, NotRun
from pdistill.core.store.rundir import RunDirectory

FORGOTTEN = 1.0
"""KL in nats per token above which the student has forgotten."""
KNOWN = 6.0
"""Loss of the base in nats per token above which it knows too little to forget; a unigram model has about that."""
TINY = 1e-7
ROUNDS = 20
"""Iterations in which the unknown probabilities converge; mostly the first is enough."""


@dataclass(frozen=True, slots=True)
class Losses:
    """Cross-entropy of the texts, in nats per token."""

    base: Estimate
    student: Estimate


@dataclass(frozen=True, slots=True)
class Drift:
    """How far the student is from the base on texts in one context; `n` counts the texts."""

    able: bool
    """Whether the base knows the texts well enough to serve as a baseline."""
    texts: Count
    tokens: Count
    kl: Estimate
    """Lower bound of KL(base || student) of the next token, in nats per token."""
    same_first: Estimate
    """Fraction of tokens at which both have the same most likely token."""
    loss: Losses


@dataclass(frozen=True, slots=True)
class Retention:
    """How far the student is from the base away from its task."""

    alarm: bool
    threshold: Amount
    """KL in nats per token above which the student has forgotten."""
    places: dict[str, Drift]
    """By the context of the texts."""


@dataclass(frozen=True, slots=True)
class ScoredText:
    """One text, token by token: KL(base || student), whether the most likely tokens are the same, and both losses."""

    kl: list[float]
    same_first: list[float]
    base_loss: list[float]
    student_loss: list[float]


def retention(run: RunDirectory) -> Retention | NotRun:
    """Return how far the student is from the base on texts that have nothing to do with the task, by their context.

    The values are means over all tokens; their intervals are bootstraps over texts.
    """
    texts: dict[str, list[ScoredText]] = {}
    pairs = zip(answers_to(run, "retention", "base"), answers_to(run, "retention", "student"), strict=True)
    for (question, base), (_, student) in pairs:
        if base.scores is not None and student.scores is not None:
            texts.setdefault(question["where"], []).append(_compared(base.scores, student.scores))
    if not texts:
        return NO_ROOM
    places = {where: _drift(scored) for where, scored in texts.items()}
    alarm = any(drift.able and (drift.kl.low or 0) > FORGOTTEN for drift in places.values())
    return Retention(alarm, FORGOTTEN, places)


def _drift(texts: Sequence[ScoredText]) -> Drift:
    loss = Losses(mean([text.base_loss for text in texts]), mean([text.student_loss for text in texts]))
    return Drift(
        able=loss.base.value is not None and loss.base.value <= KNOWN,
        texts=len(texts),
        tokens=sum(len(text.kl) for text in texts),
        kl=mean([text.kl for text in texts]),
        same_first=mean([text.same_first for text in texts]),
        loss=loss,
    )


def _compared(base: TokenScores, student: TokenScores) -> ScoredText:
    firsts = zip(base.top_ids, student.top_ids, strict=True)
    return ScoredText(
        kl=[divergence(one, other) for one, other in zip(_top(base), _top(student), strict=True)],
        same_first=[float(one[0] == other[0]) for one, other in firsts],
        base_loss=[-logprob for logprob in base.logprobs],
        student_loss=[-logprob for logprob in student.logprobs],
    )


def _top(scores: TokenScores) -> list[dict[int, float]]:
    """Return the log-probabilities of the most likely tokens, by id, at each position."""
    positions = zip(scores.top_ids, scores.top_logprobs, strict=True)
    return [dict(zip(ids, logprobs, strict=True)) for ids, logprobs in positions]


def divergence(base: Mapping[int, float], student: Mapping[int, float]) -> float:
    """Return a lower bound of KL(base || student) at one position, in nats.

    Only the most likely tokens of both are known. Tokens that both name are compared one by one. Those that only the base
    names are merged into one event, those that only the student names into another, all others into a third; merging
    events can only make KL smaller (the log-sum inequality). The probability that the student gives to the first, and the
    base to the second, is not known: it is at most that of the least likely named token for each token, and is chosen so
    that KL is smallest. If all tokens are named, the bound is KL itself.

    Args:
        base: log-probabilities of the base's most likely tokens, by id, in nats.
        student: likewise.
    """
    shared = base.keys() & student.keys()
    both = sum(math.exp(base[token]) * (base[token] - student[token]) for token in shared)
    base_alone, base_most, base_rest = _parts(base, student)
    student_alone, student_most, student_rest = _parts(student, base)
    given, taken = 0.0, 0.0
    for _ in range(ROUNDS):
        taken = min(student_most, student_rest * base_alone / max(base_alone + base_rest - given, TINY))
        given = min(base_most, base_rest * student_alone / max(student_alone + student_rest - taken, TINY))
    alone = _term(base_alone, taken) + _term(given, student_alone)
    return max(0.0, both + alone + _term(base_rest - given, student_rest - taken))


def _parts(one: Mapping[int, float], other: Mapping[int, float]) -> tuple[float, float, float]:
    """Return three probabilities under `one`: of tokens only it names, of tokens only `other` names (at most), of unnamed."""
    alone = sum(math.exp(logprob) for token, logprob in one.items() if token not in other)
    unnamed = max(0.0, 1 - sum(map(math.exp, one.values())))
    return alone, min(unnamed, sum(token not in one for token in other) * math.exp(min(one.values()))), unnamed


def _term(base: float, student: float) -> float:
    return base * math.log(base / max(student, TINY)) if base > TINY else 0.0
