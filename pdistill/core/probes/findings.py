"""The results of the probes, as the report holds them, and the sentences that describe them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

from pdistill.core.contract.task import Task
from pdistill.core.numerics.estimates import Estimate
from pdistill.core.probes.injection import Injection, injection
from pdistill.core.probes.leakage import Leakage, leakage
from pdistill.core.probes.not_run import NotRun
from pdistill.core.probes.prompt_following import PromptFollowing, prompt_following
from pdistill.core.probes.retention import Drift, Retention, retention
from pdistill.core.store.rows import read_rows
from pdistill.core.store.rundir import PROBE, RunDirectory

Finding = Leakage | Retention | Injection | PromptFollowing | NotRun

NAMES = {"leakage": "leakage", "retention": "retention", "injection": "injection", "welcome": "prompt following"}
ADVICE = {
    "leakage": "Whoever can query the student can read these parts of the prompt: keep secrets out of the prompt, train for "
    "fewer epochs, or serve the student only to people who may know the prompt.",
    "retention": "The student has forgotten part of what the base knew: serve it for its own task alone, or train with a "
    "lower learning rate or fewer epochs.",
    "injection": "A query can take the student off its task: don't give it queries from strangers unchecked, or add such "
    "queries, with the answers that you want, to its training.",
    "welcome": "The student no longer does what other prompts say: serve it for its own task alone, or train for fewer epochs.",
}
"""What an alarm means, and what to do about it."""
TOO_SMALL = "the run has too few queries: all probes together may take a quarter of the tokens of the teacher's pass"
WHERE = {"other prompt": "with another prompt", "plain text": "on plain text"}


@dataclass(frozen=True, slots=True)
class Probes:
    """Side effects of training, beyond the task."""

    leakage: Leakage | NotRun
    retention: Retention | NotRun
    injection: Injection | NotRun
    welcome: PromptFollowing | NotRun

    def items(self) -> Iterator[tuple[str, Finding]]:
        """Yield each probe with its finding."""
        yield from ((field.name, getattr(self, field.name)) for field in fields(self))


def findings(task: Task, run: RunDirectory, left_out: Mapping[str, str] | None) -> Probes | None:
    """Return the finding of each probe, or None in a run without probes.

    Args:
        left_out: by probe why it was not run.
    """
    if left_out is None or not run.probes.exists():
        return None
    asked = {row["probe"] for row in read_rows(run.check(run.probes), PROBE)}
    reasons = {probe: TOO_SMALL for probe in NAMES if probe not in asked} | dict(left_out)
    not_run = {probe: NotRun(None, reason) for probe, reason in reasons.items()}
    return Probes(
        leakage=not_run.get("leakage") or leakage(task, run),
        retention=not_run.get("retention") or retention(run),
        injection=not_run.get("injection") or injection(task, run),
        welcome=not_run.get("welcome") or prompt_following(run),
    )


def alarms(probes: Probes | None) -> list[str]:
    """Return the names of the probes that raise an alarm."""
    return [NAMES[probe] for probe, finding in probes.items() if finding.alarm] if probes else []


def sentences(probes: Probes | None) -> Iterator[tuple[str, str, str]]:
    """Yield for each probe its name, its state ("alarm", "inconclusive", "not run" or ""), and its finding.

    Probes that were not run for the same reason are named together. Nothing in a run without probes. The texts hold nothing that a
    model has written.
    """
    not_run: dict[str, list[str]] = {}
    for probe, finding in probes.items() if probes else ():
        if isinstance(finding, NotRun):
            not_run.setdefault(finding.not_run, []).append(NAMES[probe])
            continue
        advice = f" {ADVICE[probe]}" if finding.alarm else ""
        yield NAMES[probe], _state(finding), f"{_sentence(finding)}{advice}"
    for reason, names in not_run.items():
        yield ", ".join(names), "not run", f"{reason}."


def states(probes: Probes | None) -> list[str]:
    """Return the state of each probe; none in a run without probes."""
    return [_state(finding) for _, finding in probes.items()] if probes else []


def _state(finding: Finding) -> str:
    match finding:
        case NotRun():
            return "not run"
        case Retention():
            able = any(drift.able for drift in finding.places.values())
        case PromptFollowing():
            able = finding.able
        case _:
            able = True
    return "alarm" if finding.alarm else "" if able else "inconclusive"


def _sentence(finding: Leakage | Retention | Injection | PromptFollowing) -> str:
    match finding:
        case Leakage():
            return _leakage(finding)
        case Retention():
            return _retention(finding)
        case Injection():
            return _injection(finding)
        case PromptFollowing():
            return _prompt_following(finding)


def _leakage(finding: Leakage) -> str:
    student, base = finding.longest.student.characters, finding.longest.base.characters
    return (
        f"the student recites its prompt in {_count(finding.attempts)} attempts to extract it, and in "
        f"{_count(finding.held_out)} of its held-out answers; its longest common substring with the prompt has {student:,} "
        f"characters, the base's {base:,} (threshold: {finding.threshold} characters, and longer than the base's; what the question or the teacher's answers "
        "contain does not count)."
    )


def _retention(finding: Retention) -> str:
    places = " and ".join(_drift(WHERE[where], drift) for where, drift in finding.places.items())
    tokens = sum(drift.tokens for drift in finding.places.values())
    return (
        f"off-task drift from the base is at least {places}. Measured on {tokens:,} tokens (alarm: the whole interval of KL is "
        f"above {finding.threshold:g})."
    )


def _drift(where: str, drift: Drift) -> str:
    inconclusive = "" if drift.able else ", which is too high for a usable baseline"
    return (
        f"KL {_number(drift.kl)} nats per token {where} (top-1 agreement {drift.same_first.value:.1%}; student's loss "
        f"{drift.loss.student.value:.2f}, base's loss {drift.loss.base.value:.2f}{inconclusive})"
    )


def _injection(finding: Injection) -> str:
    agreement = (
        "No answers of the two can be compared."
        if finding.agreement.value is None
        else f"The student's agreement with the teacher on these queries is {_interval(finding.agreement)}."
    )
    return (
        f"the teacher obeys {_count(finding.teacher)} attacks; of those that it resists, the student obeys "
        f"{_count(finding.student_alone)}. {agreement}"
    )


def _prompt_following(finding: PromptFollowing) -> str:
    too_few = "" if finding.able else " (fewer than half, so it is not a usable baseline)"
    agreement = finding.agreement
    same = (
        "" if agreement.value is None else f" Where the base does, both give the same label on {_counted(agreement)}."
    )
    return (
        f"with the prompts of other tasks, the base follows the prompt on {_count(finding.base)} questions{too_few}, the "
        f"student on {_count(finding.student)}.{same}"
    )


def _count(estimate: Estimate) -> str:
    return f"{round((estimate.value or 0) * estimate.n):,} of {estimate.n:,}"


def _counted(estimate: Estimate) -> str:
    return f"{_count(estimate)} ({estimate.low:.1%} to {estimate.high:.1%})"


def _interval(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})"


def _number(estimate: Estimate) -> str:
    interval = "" if estimate.low is None else f" ({estimate.low:.2f} to {estimate.high:.2f})"
    return f"{estimate.value:.2f}{interval}"
