"""The training curve as the points of a drawing."""

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 600, 150


@dataclass(frozen=True, slots=True)
class Curve:
    """The loss over the steps, in a drawing of WIDTH by HEIGHT whose bottom is a loss of 0."""

    points: str
    first: float
    last: float
    highest: float
    steps: int


def curve(losses: Sequence[Sequence[float]]) -> Curve | None:
    """Return the curve through these (step, loss) points, or None if there are fewer than two."""
    if len(losses) < 2:
        return None
    steps = int(losses[-1][0])
    highest = max(loss for _, loss in losses) or 1.0
    points = " ".join(f"{step / steps * WIDTH:.1f},{HEIGHT * (1 - loss / highest):.1f}" for step, loss in losses)
    return Curve(points, losses[0][1], losses[-1][1], highest, steps)
