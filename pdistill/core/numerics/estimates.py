"""Estimates with their 95% intervals, as the report holds them, and the number types of its records."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

Count = Annotated[int, Ge(0)]
Amount = Annotated[float, Ge(0)]


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimate from n observations, with its 95% interval; null where it is undefined."""

    n: Count
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Recovery:
    """The recovered fraction of the gap between base and teacher, with its 95% interval; null where it is undefined."""

    value: float | None
    low: float | None
    high: float | None
