"""The report as one HTML page that needs nothing else: no network, no font, no file beside it."""

from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files

from pdistill.core.escape import lines, one_line
from pdistill.core.money.cost import STAGES
from pdistill.core.numerics.estimates import Estimate
from pdistill.core.probes.findings import sentences
from pdistill.core.results.headline import headline, rate
from pdistill.core.results.markdown import (
    ARM_NAMES,
    break_even,
    columns,
    grouped,
    ignoring_form,
    judgement,
    recovery_note,
)
from pdistill.core.results.page.curve import curve
from pdistill.core.results.page.matrix import matrix
from pdistill.core.results.report import FEW, Report

FOLDER = files(__name__)
TOKENS = {"prompt_tokens": "input tokens", "sampled_tokens": "output tokens", "sequence_tokens": "training tokens"}
"""The names of a stage's tokens, by their key in the report."""


@dataclass(frozen=True, slots=True)
class Slice:
    """One slice: the student's metrics, the teacher's accuracy, and the p-value if it is significantly worse."""

    name: str
    n: int
    agreement: Estimate
    accuracy: Estimate | None
    teacher: Estimate | None
    worse: float | None


def page(report: Report, prompt: str) -> str:
    """Return the report as an HTML page, with the prompt.

    All text is escaped by the template, and control characters appear as escapes. A Content-Security-Policy allows the
    page's own style and script by their hashes and nothing else, so that text which got past that could still do nothing.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters |= {"shown": one_line, "lines": lines, "percent": _percent, "rate": rate}
    style, script = _read("style.css"), _read("script.js")
    text = environment.from_string(_read("report.html.jinja")).render(
        report=report,
        prompt=prompt,
        style=style,
        script=script,
        policy=f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'",
        headline=headline(report),
        columns=columns(report),
        ignoring_form=ignoring_form(report),
        recovery_note=recovery_note(report),
        grouped=grouped(report),
        arms=list(report.arms.items()),
        names=ARM_NAMES,
        slices=_slices(report),
        probes=list(sentences(report.probes)),
        matrix=matrix(report.confusions),
        curve=curve(report.loss),
        few=FEW,
        judgement=judgement(report.judge) if report.judge else [],
        stages=STAGES,
        token_kinds=TOKENS,
        break_even=break_even(report.cost),
    )
    return text.encode("utf-8", "backslashreplace").decode()


def _read(name: str) -> str:
    return (FOLDER / name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _slices(report: Report) -> list[Slice]:
    """Return the slices, the worst first; those without a value last."""
    teacher = report.arms["teacher"].slices
    slices = [
        Slice(
            name=name,
            n=(metrics.accuracy or metrics.agreement).n,
            agreement=metrics.agreement,
            accuracy=metrics.accuracy,
            teacher=teacher[name].accuracy,
            worse=report.worse_slices.get(name),
        )
        for name, metrics in report.arms["student"].slices.items()
    ]
    return sorted(slices, key=lambda each: (each.agreement.value is None, each.agreement.value or 0.0, each.name))
