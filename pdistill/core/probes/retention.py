"""What the student has forgotten: how far its next tokens are from the base's where its task is not being asked."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pdistill.core.numerics.statistics import mean
from pdistill.core.probes.asking import NO_ROOM, answers_to
from pdistill.core.store.rundir import RunDirectory

FORGOTTEN = 1.0
"""Nats a token above which the student counts as one that has forgotten."""
KNOWN = 6.0
"""The base's loss in nats a token above which it knows too little to forget: the frequencies of words give about that."""
TINY = 1e-7
ROUNDS = 20
"""In which the shares that are not known settle; mostly the first round does."""


def retention(run: RunDirectory) -> dict[str, Any]:
    """Return how far the student is from the base on texts that have nothing to do with the task.

    By where a text stands: `tokens` scored, `kl`, `same_first`, both losses, and whether the base is able to be judged by.
    The figures are means over all tokens; their intervals are bootstraps over texts.
    """
    texts: dict[str, list[Mapping[str, list[float]]]] = {}
    pairs = zip(answers_to(run, "retention", "base"), answers_to(run, "retention", "student"), strict=True)
    for (row, base), (_, student) in pairs:
        if base.get("logprobs") and student.get("logprobs"):
            texts.setdefault(row["where"], []).append(_compared(base, student))
    if not texts:
        return dict(NO_ROOM)
    places = {where: _figures(compared) for where, compared in texts.items()}
    return {
        "alarm": any(found["able"] and (found["kl"]["low"] or 0) > FORGOTTEN for found in places.values()),
        "threshold": FORGOTTEN,
        "places": places,
    }


def _figures(texts: Sequence[Mapping[str, list[float]]]) -> dict[str, Any]:
    columns = {key: [text[key] for text in texts] for key in texts[0]}
    loss = {"base": mean(columns["base_loss"]), "student": mean(columns["student_loss"])}
    return {
        "able": loss["base"]["value"] <= KNOWN,
        "texts": len(texts),
        "tokens": sum(len(text["kl"]) for text in texts),
        "kl": mean(columns["kl"]),
        "same_first": mean(columns["same_first"]),
        "loss": loss,
    }


def _compared(base: Mapping[str, Any], student: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return the figures of one text, token by token."""
    sides = [
        [
            dict(zip(ids, logprobs, strict=True))
            for ids, logprobs in zip(row["top_ids"], row["top_logprobs"], strict=True)
        ]
        for row in (base, student)
    ]
    firsts = zip(base["top_ids"], student["top_ids"], strict=True)
    return {
        "kl": [divergence(one, other) for one, other in zip(*sides, strict=True)],
        "same_first": [float(one[0] == other[0]) for one, other in firsts],
        "base_loss": [-logprob for logprob in base["logprobs"]],
        "student_loss": [-logprob for logprob in student["logprobs"]],
    }


def divergence(base: Mapping[int, float], student: Mapping[int, float]) -> float:
    """Return the least that KL(base || student) can be at one place, in nats.

    Of both only the likeliest tokens are known. Tokens that both name are compared one by one. Those that the base alone
    names are one event, those that the student alone names another, all others a third. To events that are merged KL can
    only be smaller (the log-sum inequality). What the student gives to the first, and the base to the second, is not
    known, but at most the share of its least likely named token for each; it is taken where KL is the smallest. Where all
    tokens are named, this is KL itself.

    Args:
        base: log-probabilities of the base's likeliest tokens, by id, in nats.
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
    """Return three shares of `one`: of what it alone names, at most of what `other` alone names, and of all unnamed."""
    alone = sum(math.exp(logprob) for token, logprob in one.items() if token not in other)
    unnamed = max(0.0, 1 - sum(map(math.exp, one.values())))
    return alone, min(unnamed, sum(token not in one for token in other) * math.exp(min(one.values()))), unnamed


def _term(base: float, student: float) -> float:
    return base * math.log(base / max(student, TINY)) if base > TINY else 0.0
