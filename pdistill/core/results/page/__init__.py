"""The report as one HTML page that needs nothing else: no network, no font, no file beside it."""

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from typing import Any

from pdistill.core.escape import lines, one_line
from pdistill.core.money.cost import STAGES
from pdistill.core.probes.findings import sentences
from pdistill.core.results.markdown import ARM_NAMES, grouped, judgement, pay_back, recovery_note, verdict
from pdistill.core.results.page.curve import curve
from pdistill.core.results.page.matrix import matrix
from pdistill.core.results.report import FEW, arms_of

FOLDER = files(__name__)
TOKENS = {"prompt_tokens": "input tokens", "sampled_tokens": "answer tokens", "sequence_tokens": "trained tokens"}
"""What a stage's tokens are called, by their key in the report."""


def page(report: Mapping[str, Any]) -> str:
    """Return the report as an HTML page.

    All text is escaped by the template, and what a browser would obey or not show appears as an escape. The page's own
    style and script are allowed by their hashes and nothing else is, so that text which got past that would still do
    nothing.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters |= {"shown": one_line, "lines": lines, "percent": _percent}
    style, script = _read("style.css"), _read("script.js")
    text = environment.from_string(_read("report.html.jinja")).render(
        report=report,
        style=style,
        script=script,
        policy=f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'",
        verdict=verdict(report),
        recovery_note=recovery_note(report),
        grouped=grouped(report),
        arms=list(arms_of(report)),
        names=ARM_NAMES,
        slices=_slices(report),
        probes=list(sentences(report)),
        matrix=matrix(report["confusions"]),
        curve=curve(report["loss"]),
        few=FEW,
        judgement=judgement(report["judge"]) if report["judge"] else [],
        stages=STAGES,
        token_kinds=TOKENS,
        pay_back=pay_back(report["cost"]),
    )
    return text.encode("utf-8", "backslashreplace").decode()


def _read(name: str) -> str:
    return (FOLDER / name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _slices(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row for every slice, the worst first; those without a value last."""
    arms = report["arms"]
    rows = [
        {
            "name": name,
            "n": (figures["accuracy"] or figures["agreement"])["n"],
            "agreement": figures["agreement"],
            "accuracy": figures["accuracy"],
            "teacher": arms["teacher"]["slices"][name]["accuracy"],
            "worse": report["worse_slices"].get(name),
        }
        for name, figures in arms["student"]["slices"].items()
    ]
    return sorted(rows, key=lambda row: (row["agreement"]["value"] is None, row["agreement"]["value"], row["name"]))
