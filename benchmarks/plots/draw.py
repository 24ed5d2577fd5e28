"""Draws the plots of docs/explanation/performance.md and fills in its tables, from the JSON files in benchmarks/results.

usage: python benchmarks/plots/draw.py

Missing measurements are left out, with a message. A result may have a "note", which is shown with its table.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "explanation" / "performance.md"
OURS, PEER, THIRD, LINE = "#00796b", "#b0562a", "#6a5aa8", "#9e9e9e"
COLOURS = (OURS, PEER, THIRD, "#c29b1d")
LINEAR = "linear growth"
Rows = Iterator[tuple[str, ...]]


def main() -> None:
    """Draw all plots and fill in all tables."""
    mpl.rcParams.update({
        "svg.hashsalt": "pdistill", "font.size": 10, "axes.spines.top": False, "axes.spines.right": False,
        "axes.grid": True, "grid.color": "#e4e4e4", "axes.axisbelow": True, "legend.frameon": False,
    })  # fmt: skip
    page = PAGE.read_text("utf-8")
    for name, (table, plot, shows) in KINDS.items():
        file = RESULTS / f"{name}.json"
        if not file.exists():
            page = filled(page, name, "Not measured yet.")
            print(f"{name}: there is no {file.relative_to(ROOT)}", file=sys.stderr)
            continue
        result = json.loads(file.read_text())
        text = "\n".join("| " + " | ".join(cells) + " |" for cells in table(result))
        parts = [text, footnote(result)]
        if plot is not None:
            drawn = PAGE.with_name(f"performance-{name.replace('_', '-')}.svg")
            plot(result, drawn)
            parts.append(f"![{shows}]({drawn.name})")
        page = filled(page, name, "\n\n".join(filter(None, parts)))
    PAGE.write_text(page, "utf-8")


def filled(page: str, name: str, text: str) -> str:
    """Return the page with the text between the markers of that name replaced.

    Raises:
        SystemExit: the page has no such markers.
    """
    marks = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not marks.search(page):
        raise SystemExit(f"{PAGE.name} has no <!-- {name} --> ... <!-- end -->")
    return marks.sub(lambda found: f"{found[1]}\n{text}\n\n{found[2]}", page, count=1)


def footnote(result: Mapping[str, Any]) -> str:
    """Return the machine it was measured on, and the note."""
    machine = result.get("machine", {})
    versions = ", ".join(f"{name} {version}" for name, version in machine.get("versions", {}).items())
    parts = (machine.get("processor"), f"{machine['cores']} cores" if "cores" in machine else None, versions)
    return " ".join(filter(None, (", ".join(filter(None, parts)) + ".", result.get("note"))))


def million_table(result: Any) -> Rows:
    """Yield the stages of a job of many queries."""
    yield ("stage", "seconds", "queries per second", "peak memory above the start")
    yield ("---", "---:", "---:", "---:")
    for name, row in result["table"].items():
        rate = result["queries"] / row["seconds"]
        yield (name, f"{row['seconds']:,.1f}", f"{rate:,.0f}", f"{max(0, row['peak_mib']):.0f} MiB")
    yield ("**generate and report**", "", f"**{result['rows_per_second']:,.0f}**", f"**{result['peak_mib']:.0f} MiB**")


def training_table(result: Any) -> Rows:
    """Yield both training jobs, against each of the peer's modes."""
    yield ("", "rows per second", "spread", "against pdistill", "peak memory", "pdistill takes", "last loss")
    yield ("---", "---:", "---:", "---:", "---:", "---:", "---:")
    for name, title in (("rate", "the shipped queries"), ("vocabulary", "151,936 words")):
        if name not in result:
            continue
        table = result[name]["table"]
        ours = table["pdistill"]
        for contender, row in table.items():
            yield (
                f"{title}: {contender if contender == 'pdistill' else f'TRL, {contender}'}",
                f"{row['rows_per_second']:.1f}",
                f"{row['slowest']:.1f} to {row['fastest']:.1f}",
                f"{row['rows_per_second'] / ours['rows_per_second']:.2f} ×",
                f"{row['peak_mib']:,.0f} MiB",
                f"{ours['peak_mib'] / row['peak_mib']:.2f} ×",
                f"{row['losses'][-1]:.3f}",
            )


def training_plot(result: Any, file: Path) -> None:
    """Draw the loss curves of all contenders."""
    _, axes = plt.subplots(figsize=(7, 3.4))
    for (contender, row), colour in zip(result["rate"]["table"].items(), COLOURS, strict=False):
        ours = contender == "pdistill"
        steps = [100 * (at + 1) / len(row["losses"]) for at in range(len(row["losses"]))]
        label = contender if ours else f"TRL, {contender}"
        axes.plot(steps, row["losses"], color=colour, label=label, linewidth=2.2 if ours else 1.3)
    axes.set(xlabel="share of the training, %", ylabel="loss (nats per token)", yscale="log")
    saved(axes, file)


def whole_job_table(result: Any) -> Rows:
    """Yield the stages of both sides."""
    ours, plain = result["pdistill"], result["plain"]
    yield ("seconds", "pdistill", "plain script", "ratio")
    yield ("---", "---:", "---:", "---:")
    for name in ("generate", "train", "evaluate"):
        one, other = ours["seconds"][name], plain["seconds"][name]
        yield (name, f"{one:.1f}", f"{other:.1f}", f"{other / one:.1f} ×")
    yield ("**whole**", f"**{ours['whole']:.1f}**", f"**{plain['whole']:.1f}**", f"**{result['ratio']:.1f} ×**")
    yield (
        "by processors",
        f"{ours['processor_seconds']:.1f}",
        f"{plain['processor_seconds']:.1f}",
        f"{plain['processor_seconds'] / ours['processor_seconds']:.1f} ×",
    )
    yield ("peak memory", f"{ours['peak_mib']:,.0f} MiB", f"{plain['peak_mib']:,.0f} MiB", "")
    for arm in ("teacher", "student"):
        pair = [side["arms"][arm] for side in (ours, plain)]
        yield (f"accuracy of the {arm}", *(f"{figures['accuracy']:.3f}" for figures in pair), "")


def whole_job_plot(result: Any, file: Path) -> None:
    """Draw the stages of both sides as bars."""
    _, axes = plt.subplots(figsize=(7, 2))
    for place, side in enumerate(("plain", "pdistill")):
        left = 0.0
        for stage, colour in zip(("generate", "train", "evaluate"), COLOURS, strict=False):
            width = result[side]["seconds"][stage]
            axes.barh(place, width, left=left, color=colour, label=stage if place else None, height=0.6)
            left += width
        axes.text(left, place, f" {left:,.0f} s", va="center")
    axes.set(xlabel="seconds", yticks=(0, 1), yticklabels=("plain script", "pdistill"))
    axes.margins(x=0.12)
    axes.grid(visible=False, axis="y")
    saved(axes, file)


def growth_table(result: Any) -> Rows:
    """Yield the cost of runs of growing size."""
    yield ("backend", "queries", "seconds", "milliseconds per query", "peak memory above the start")
    yield ("---", "---:", "---:", "---:", "---:")
    for row in result["curve"]:
        each = 1e3 * row["seconds"] / row["queries"]
        cells = (f"{row['queries']:,}", f"{row['seconds']:,.1f}", f"{each:,.2f}", f"{row['peak_mib']:.0f} MiB")
        yield (row["backend"], *cells)


def growth_plot(result: Any, file: Path) -> None:
    """Draw seconds by number of queries, with a line of linear growth."""
    _, axes = plt.subplots(figsize=(7, 3.6))
    for backend, colour in (("local", OURS), ("fake", THIRD)):
        points = [(row["queries"], row["seconds"]) for row in result["curve"] if row["backend"] == backend]
        if points:
            curve(axes, points, colour, f"backend {backend}")
    axes.set(xlabel="queries", ylabel="seconds", xscale="log", yscale="log")
    saved(axes, file)


def prompt_length_table(result: Any) -> Rows:
    """Yield the cost of a teacher pass with prompts of growing length."""
    yield ("prompt tokens", "seconds", "milliseconds per prompt token")
    yield ("---:", "---:", "---:")
    for row in result["curve"]:
        tokens, seconds = row["prompt_tokens"], row["seconds"]
        yield (f"{tokens:,}", f"{seconds:,.2f}", f"{1e3 * seconds / tokens:,.2f}")


def prompt_length_plot(result: Any, file: Path) -> None:
    """Draw seconds by prompt tokens."""
    _, axes = plt.subplots(figsize=(7, 3.6))
    curve(axes, [(row["prompt_tokens"], row["seconds"]) for row in result["curve"]], OURS, "teacher pass")
    axes.set(xlabel="tokens of the prompt", ylabel="seconds", xscale="log", yscale="log")
    saved(axes, file)


def curve(axes: Axes, points: list[tuple[int, float]], colour: str, label: str) -> None:
    """Draw a curve with its points, and through the last of them a dashed line of linear growth."""
    sizes, seconds = zip(*points, strict=True)
    named = axes.get_legend_handles_labels()[1]
    axes.plot(sizes, seconds, "o-", color=colour, label=label)
    linear = [seconds[-1] * size / sizes[-1] for size in sizes]
    axes.plot(sizes, linear, "--", color=LINE, linewidth=1, label=None if LINEAR in named else LINEAR)


def teacher_table(result: Any) -> Rows:
    """Yield the contenders of one row of the teacher pass."""
    if "left_out" in result:
        yield ("left out", result["left_out"])
        return
    yield ("", "seconds", "spread", "against pdistill", "goal", "same tokens")
    yield ("---", "---:", "---:", "---:", "---:", "---:")
    against = {row["peer"]: row for row in result["table"]}
    for name, row in result["contenders"].items():
        cells = (f"{row['seconds']:.2f}", f"{row['least_seconds']:.2f} to {row['most_seconds']:.2f}")
        if name in against:
            found = against[name]
            figures = (f"{found['ratio']:.2f} ×", f"{found['goal']:g} ×", f"{found['same']} of {found['of']}")
            yield (name, *cells, *figures)
        else:
            yield (f"pdistill: {name}", *cells, "", "", "")


def saved(axes: Axes, file: Path) -> None:
    """Save a plot; the same data give the same bytes."""
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="best", fontsize=9)
    axes.figure.savefig(file, bbox_inches="tight", metadata={"Date": None})
    plt.close(axes.figure)


KINDS: dict[str, tuple[Callable[[Any], Rows], Callable[[Any, Path], None] | None, str]] = {
    "teacher-qwen": (teacher_table, None, ""),
    "teacher-engine": (teacher_table, None, ""),
    "teacher-smollm2": (teacher_table, None, ""),
    "training": (training_table, training_plot, "Loss along the training, of each contender"),
    "whole_job": (whole_job_table, whole_job_plot, "Seconds of the default job by stage"),
    "million": (million_table, None, ""),
    "growth": (growth_table, growth_plot, "Seconds of a run by its queries"),
    "teacher-growth": (
        prompt_length_table,
        prompt_length_plot,
        "Seconds of a teacher pass by the tokens of its prompt",
    ),
}

if __name__ == "__main__":
    main()
