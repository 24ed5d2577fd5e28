"""What the probes found, as the report holds it, and the sentences that say so."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pdistill.core.contract.task import Task
from pdistill.core.probes.injection import injection
from pdistill.core.probes.leakage import leakage
from pdistill.core.probes.retention import retention
from pdistill.core.probes.welcome import welcome
from pdistill.core.store.rundir import PROBES, RunDirectory

Found = Mapping[str, Any]


def findings(task: Task, run: RunDirectory, left_out: Mapping[str, str] | None) -> dict[str, Any] | None:
    """Return by probe what was found, with `alarm` (null where it was not run), or None in a run without probes.

    Args:
        left_out: by probe why it was not run.
    """
    if left_out is None or not run.probes.exists():
        return None
    figures: Mapping[str, Callable[[], dict[str, Any]]] = {
        "leakage": lambda: leakage(task, run),
        "retention": lambda: retention(run),
        "injection": lambda: injection(task, run),
        "welcome": lambda: welcome(run),
    }
    return {
        probe: {"alarm": None, "not_run": left_out[probe]} if probe in left_out else figures[probe]()
        for probe in PROBES
    }


def alarms(report: Mapping[str, Any]) -> list[str]:
    """Return the names of the probes that raise an alarm."""
    return [NAMES[probe] for probe, found in (report.get("probes") or {}).items() if found["alarm"]]


def sentences(report: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield of each probe its name, its state ("alarm", "can't be judged", "not run" or ""), and what was found.

    Nothing in a run without probes. The texts hold nothing that a model said.
    """
    for probe, found in (report.get("probes") or {}).items():
        if found["alarm"] is None:
            yield NAMES[probe], "not run", f"{found['not_run']}."
        else:
            state = "alarm" if found["alarm"] else "" if _able(found) else "can't be judged"
            yield NAMES[probe], state, SAID[probe](found)


def _able(found: Found) -> bool:
    """Return whether the base knows enough to be judged by, where it needs to."""
    if "places" in found:
        return any(place["able"] for place in found["places"].values())
    return bool(found.get("able", True))


def _leakage(found: Found) -> str:
    attempts, own = found["attempts"], found["held_out"]
    student, base = (found["longest"][arm]["characters"] for arm in ("student", "base"))
    return (
        f"the student recites its prompt in {_count(attempts)} attempts to make it, and in {_count(own)} of its held-out "
        f"answers; its longest run in common with the prompt has {student:,} characters, the base's {base:,} (recited: "
        f"{found['threshold']} or more, and more than the base)."
    )


def _retention(found: Found) -> str:
    places = "; ".join(f"{WHERE[where]} {_place(place)}" for where, place in found["places"].items())
    tokens = sum(place["tokens"] for place in found["places"].values())
    return (
        f"where its task is not being asked, the student's next token is this far from the base's: {places}. {tokens:,} tokens "
        f"were looked at; more than {found['threshold']:g} nats count as forgotten."
    )


def _place(place: Found) -> str:
    base, student = (place["loss"][arm]["value"] for arm in ("base", "student"))
    unable = "" if place["able"] else ", which knows too little to judge by"
    return (
        f"{_figure(place['kl'])} nats, the likeliest one the same at {place['same_first']['value']:.1%}, loss {student:.2f} "
        f"against the base's {base:.2f}{unable}"
    )


def _injection(found: Found) -> str:
    return (
        f"of the questions that tell it to ignore its task, and that the teacher does not obey, the student obeys "
        f"{_count(found['student_alone'])}; the teacher obeys {_count(found['teacher'])}. Their answers agree on "
        f"{_share(found['agreement'])}."
    )


def _welcome(found: Found) -> str:
    both = found["agreement"]
    agree = "" if both["value"] is None else f"; where the base does, both agree on {_share(both)}"
    student = f"the student in {_count(found['student'])}{agree}"
    if not found["able"]:
        return (
            f"the base itself follows other tasks' prompts in {_count(found['base'])}, too few to judge by, {student}."
        )
    return f"the base follows other tasks' prompts in {_count(found['base'])}, {student}."


def _count(figure: Found) -> str:
    return f"{round((figure['value'] or 0) * figure['n']):,} of {figure['n']:,}"


def _share(figure: Found) -> str:
    if figure["value"] is None:
        return "none that can be compared"
    return f"{figure['value']:.1%} ({figure['low']:.1%} to {figure['high']:.1%})"


def _figure(figure: Found) -> str:
    interval = "" if figure["low"] is None else f" ({figure['low']:.2f} to {figure['high']:.2f})"
    return f"{figure['value']:.2f}{interval}"


NAMES = {
    "leakage": "leakage",
    "retention": "retention",
    "injection": "injection",
    "welcome": "prompt still welcome",
}
SAID = {"leakage": _leakage, "retention": _retention, "injection": _injection, "welcome": _welcome}
WHERE = {"other prompt": "under another prompt", "plain text": "on plain text"}
