"""The confusion matrix as the cells of a picture."""

from dataclasses import dataclass

from pdistill.core.results.disagreements import Confusions, LabelPair

MOST_LABELS = 40
SHADES = 5


@dataclass(frozen=True, slots=True)
class Cell:
    """The count of one pair of labels, whether the two are the same, and the shade from 0 (never) to 5."""

    n: int
    same: bool
    shade: int


@dataclass(frozen=True, slots=True)
class Matrix:
    """The teacher's labels as rows, the student's as columns; the last column, None, is for rejected answers."""

    columns: list[str | None]
    rows: list[tuple[str, list[Cell]]]
    mistakes: list[LabelPair]


def matrix(confusions: Confusions | None) -> Matrix | None:
    """Return the matrix of the labels that occur; None if there are no labels, or too many."""
    if confusions is None:
        return None
    counts = {(row.teacher, row.student): row.n for row in confusions.rows}
    seen = {label for pair in counts for label in pair}
    labels = [label for label in confusions.labels if label in seen]
    if not labels or len(labels) > MOST_LABELS:
        return None
    columns: list[str | None] = [*labels, *([None] if None in seen else [])]
    rows = []
    for teacher in labels:
        row = [counts.get((teacher, student), 0) for student in columns]
        if sum(row):
            cells = [Cell(n, student == teacher, _shade(n / sum(row))) for n, student in zip(row, columns, strict=True)]
            rows.append((teacher, cells))
    return Matrix(columns, rows, [row for row in confusions.rows if row.teacher != row.student])


def _shade(share: float) -> int:
    return -int(-share * SHADES // 1)
