"""Whether a prompt is still welcome: the student under another task's prompt, against the base under the same."""

from collections.abc import Mapping
from typing import Any

from pdistill.core.numerics.statistics import share
from pdistill.core.probes.asking import NO_ROOM, answers_to
from pdistill.core.store.rundir import RunDirectory

KEPT = 0.5
"""The agreement with the base below which the student counts as one that takes no prompt any more."""
ABLE = 0.5
"""The share of the questions that the base must answer by the prompt, so that it can be judged by."""
AROUND = " \t\r\n.,:;!\"'`*"


def welcome(run: RunDirectory) -> dict[str, Any]:
    """Return how often the base answers by the other prompt, and how far the student agrees with it there."""
    followed: dict[str, list[float]] = {"base": [], "student": []}
    agreed = []
    pairs = zip(answers_to(run, "welcome", "base"), answers_to(run, "welcome", "student"), strict=True)
    for (row, before), (_, after) in pairs:
        if "error" in (before["finish"], after["finish"]):
            continue
        base, student = (label_of(answer["response"], row) for answer in (before, after))
        followed["base"].append(float(base is not None))
        followed["student"].append(float(student is not None))
        if base is not None:
            agreed.append(float(base == student))
    if not followed["base"]:
        return dict(NO_ROOM)
    figure, follows = share(agreed), {arm: share(values) for arm, values in followed.items()}
    able = follows["base"]["value"] >= ABLE
    return {"alarm": able and figure["high"] < KEPT, "threshold": KEPT, "able": able, "agreement": figure, **follows}


def label_of(response: str, row: Mapping[str, Any]) -> str | None:
    """Return which of the other prompt's labels an answer is, or None."""
    said = response.strip(AROUND).casefold()
    return next((label for label in row["labels"] if said == label), None)
