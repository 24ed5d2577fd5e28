"""Shared by the tests of complete runs: small runs on the fake backend, and the files that a run leaves behind."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from pdistill.core.contract.task import FileTask
from pdistill.core.probes.questions import probe_rows
from pdistill.core.progress import Silent
from pdistill.core.setup.config import Config

INJECTIONS = sum(row["probe"] == "injection" for row in probe_rows(FileTask()))
"""Number of probe questions that a teacher answers in addition to a run's queries."""

CLOCK = {"timings.jsonl"}
SECONDS = {"report.json", "report.md", "report.html"}

LINES = [
    f"{opening} {middle} {number}"
    for number, opening in enumerate(
        ["apples fall", "bears sleep", "cats jump", "dogs bark", "eagles rise", "foxes dig"]
    )
    for middle in ["near the old mill", "behind our school", "every second winter", "without any warning at", "on hill"]
]


def write_task(folder: Path, lines: list[str] | None = None) -> tuple[Path, Path]:
    """Write a prompt file and a file of queries, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    prompt, queries = folder / "prompt.txt", folder / "queries.jsonl"
    prompt.write_text("Name the kind.\nAnimal:animal\nFruit:fruit\nOther:other\n")
    rows = [{"query": line, "reference": "animal", "slices": [line.split()[0]]} for line in lines or LINES]
    queries.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return prompt, queries


def fake_config(folder: Path, run_dir: Path, **changes: Any) -> Config:
    """Return the options of a small run on the fake backend."""
    prompt, queries = write_task(folder)
    config = Config(
        prompt=prompt, queries=queries, labels=("animal", "fruit", "other"), backend="fake", run_dir=run_dir
    )
    return replace(config, **changes)


class Said(Silent):
    """Progress that keeps its messages."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        """Keep the line."""
        self.lines.append(line)


def contents(run_dir: Path, *, without: set[str] = CLOCK) -> dict[str, bytes]:
    """Return the contents of every file of a run, by its path in the run directory."""
    files = (path for path in sorted(run_dir.rglob("*")) if path.is_file() and path.name not in without)
    return {str(path.relative_to(run_dir)): path.read_bytes() for path in files}
