"""An example, the row of examples.jsonl: the target that the student learns for a query, or why there is none."""

from dataclasses import dataclass
from types import NoneType
from typing import Self

from pdistill.core.contract.jsontext import Keys, Row, check_keys
from pdistill.core.numerics.split import Split

TEXT_OR_NONE = (str, NoneType)
KEYS: Keys = {
    "number": int,
    "id": str,
    "split": str,
    "group": str,
    "target": TEXT_OR_NONE,
    "rejected": TEXT_OR_NONE,
    "confidence": (float, int, NoneType),
}


@dataclass(frozen=True, slots=True)
class Example:
    """The outcome of one query.

    Args:
        number: of the query, as is `id`.
        split: whether it is trained on or held out.
        group: queries of one group are in the same split.
        target: what the student learns; None where the teacher's answer was rejected.
        rejected: the reason for the rejection, or None.
        confidence: the fraction of the query's samples with the same answer; None where there is one sample.
    """

    number: int
    id: str
    split: Split
    group: str
    target: str | None
    rejected: str | None
    confidence: float | None = None

    @property
    def trained_on(self) -> bool:
        """Whether the student is trained on it."""
        return self.split == "train" and self.target is not None

    @property
    def evaluable(self) -> bool:
        """Whether it is held out and has a target to compare with."""
        return self.split == "eval" and self.target is not None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Return the example in a row of examples.jsonl.

        Raises:
            TypeError: it does not hold one.
        """
        check_keys(row, KEYS)
        return cls(**row)

    def as_row(self) -> dict[str, object]:
        """Return the example as a row of examples.jsonl."""
        row: dict[str, object] = {
            "number": self.number,
            "id": self.id,
            "split": self.split,
            "group": self.group,
            "target": self.target,
            "rejected": self.rejected,
        }
        if self.confidence is not None:
            row["confidence"] = self.confidence
        return row
