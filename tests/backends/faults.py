"""What a test proxy does to answers: faults, and plans that say which request gets which."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one answer.

    Args:
        status: an HTTP status to answer with; 0 cuts the connection, or hangs.
        retry_after: the header of that name.
        hang: whether nothing ever comes; else a connection without a status is cut.
        late: whether the server gets the request, and only its answer is lost.
    """

    status: int = 0
    retry_after: str | None = None
    hang: bool = False
    late: bool = False

    @property
    def name(self) -> str:
        """A word for it: the status, "cut" or "hang"."""
        return str(self.status) if self.status else "hang" if self.hang else "cut"


@dataclass(frozen=True, slots=True)
class Call:
    """One request that came in: its kind, how many of this kind came before, its path and its body."""

    kind: str
    number: int
    path: str
    body: bytes


Plan = Callable[[Call], Fault | None]

TOO_MANY = Fault(status=429)
BROKEN = Fault(status=500)
CUT = Fault()
HUNG = Fault(hang=True)


def none(call: Call) -> Fault | None:
    """Let every answer through."""
    return None


def share(part: float, faults: Sequence[Fault], kinds: Iterable[str], seed: int = 0) -> Plan:
    """Return the plan that gives a part of the requests of some kinds one of the faults, settled by seed and number."""
    wanted = frozenset(kinds)

    def plan(call: Call) -> Fault | None:
        random = Random(f"{seed} {call.kind} {call.number}")
        return random.choice(faults) if call.kind in wanted and random.random() < part else None

    return plan


def at(fault: Fault, **numbers: Iterable[int]) -> Plan:
    """Return the plan that gives the fault to the requests of these numbers: `at(CUT, sampling=(0, 3))`."""
    wanted = {(kind, number) for kind, some in numbers.items() for number in some}
    return lambda call: fault if (call.kind, call.number) in wanted else None


def both(*plans: Plan) -> Plan:
    """Return the plan whose fault is that of the first plan that has one."""
    return lambda call: next((fault for plan in plans if (fault := plan(call)) is not None), None)
