"""The training curve as the points of a drawing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 600, 150
LEAST_LOSS = 1e-4
"""Loss that a logarithmic scale still shows."""


@dataclass(frozen=True, slots=True)
class Curve:
    """The loss over the steps on a logarithmic scale, in a drawing of WIDTH by HEIGHT from the lowest loss to the highest."""

    points: str
    first: float
    last: float
    lowest: float
    highest: float
    steps: int


def curve(losses: Sequence[Sequence[float]]) -> Curve | None:
    """Return the curve through these (step, loss) points, or None if there are fewer than two."""
    if len(losses) < 2:
        return None
    steps = int(losses[-1][0])
    shown = [max(loss, LEAST_LOSS) for _, loss in losses]
    lowest, highest = min(shown), max(shown)
    decades = math.log(highest / lowest) or 1.0
    heights = [HEIGHT * math.log(highest / loss) / decades for loss in shown]
    points = " ".join(
        f"{step / steps * WIDTH:.1f},{height:.1f}" for (step, _), height in zip(losses, heights, strict=True)
    )
    return Curve(points, losses[0][1], losses[-1][1], lowest, highest, steps)
