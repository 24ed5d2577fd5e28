"""Whether the student still follows a prompt: with the prompts of other tasks, compared with the base (probe "welcome")."""

from dataclasses import dataclass

from pdistill.core.numerics.estimates import Amount, Estimate
from pdistill.core.numerics.statistics import share
from pdistill.core.probes.asking import answers_to
from pdistill.core.probes.not_run import NO_ROOM, NotRun
from pdistill.core.store.rundir import RunDirectory

LEAST_AGREEMENT = 0.5
"""Agreement with the base below which the student has stopped following prompts."""
LEAST_FOLLOWED = 0.5
"""Fraction of the questions on which the base must follow the prompt to serve as a baseline."""
AROUND = " \t\r\n.,:;!\"'`*"


@dataclass(frozen=True, slots=True)
class PromptFollowing:
    """Whether the student follows the prompts of other tasks as the base does."""

    alarm: bool
    threshold: Amount
    able: bool
    """Whether the base follows the prompts often enough to serve as a baseline."""
    agreement: Estimate
    """On the questions on which the base follows the prompt."""
    base: Estimate
    student: Estimate


def prompt_following(run: RunDirectory) -> PromptFollowing | NotRun:
    """Return how often the base follows the other prompts, and how far the student agrees with it there."""
    base: list[bool] = []
    student: list[bool] = []
    agreed: list[bool] = []
    pairs = zip(answers_to(run, "welcome", "base"), answers_to(run, "welcome", "student"), strict=True)
    for (question, before), (_, after) in pairs:
        if "error" in (before.finish, after.finish):
            continue
        labels = [label_of(answer.response, question["labels"]) for answer in (before, after)]
        base.append(labels[0] is not None)
        student.append(labels[1] is not None)
        if labels[0] is not None:
            agreed.append(labels[0] == labels[1])
    if not base:
        return NO_ROOM
    agreement, followed = share(agreed), share(base)
    able = sum(base) >= LEAST_FOLLOWED * len(base)
    alarm = able and agreement.high is not None and agreement.high < LEAST_AGREEMENT
    return PromptFollowing(alarm, LEAST_AGREEMENT, able, agreement, followed, share(student))


def label_of(response: str, labels: list[str]) -> str | None:
    """Return which of the labels an answer is, or None."""
    bare = response.strip(AROUND).casefold()
    return bare if bare in labels else None
