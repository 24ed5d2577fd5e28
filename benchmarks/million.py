"""Runs one job of many queries on the fake backend: rows per second of each stage, and peak memory above the baseline.

usage: python benchmarks/million.py [--queries N] [--out FILE.json]

The baseline is this process after the same job with 200 queries, so that the cost of libraries counts towards no stage. The
search for near-duplicates is measured separately, and the teacher pass twice: as it is, and with a split by the hash of the id.
Rows per second refer to all queries, even if a stage reads only a fifth of them.
"""

import argparse
import json
import random
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from measuring import Stage, machine

from pdistill.core import pipeline
from pdistill.core.contract.queries import Query
from pdistill.core.numerics.split import Groups
from pdistill.core.preview import preview
from pdistill.core.results import reporting
from pdistill.core.setup.config import Config
from pdistill.core.setup.inputs import read_inputs
from pdistill.core.store.rundir import RunDirectory

FEW = 200
WORDS, SHORTEST, LONGEST = 5_000, 6, 14
LABELS = tuple(f"kind{number}" for number in range(12))
STEPS = 100
MEASURED = ("generate, split by hash", "report")


class ByHash:
    """Replaces the groups: every query is a group of its own."""

    def __init__(self, queries: Callable[[], Iterable[Query]]) -> None:
        self._queries = queries

    def __iter__(self) -> Iterator[tuple[Query, str]]:
        return ((query, query.id) for query in self._queries())


def main() -> None:
    """Run the job, print its table and save the measurements."""
    options = parsed()
    with tempfile.TemporaryDirectory() as folder:
        go(job(Path(folder) / "few", FEW), lambda name, row: None)
        config = job(Path(folder) / "many", options.queries)
        table = go(config, lambda name, row: shown(name, row, options.queries))
    together = options.queries / sum(table[name]["seconds"] for name in MEASURED)
    most = max(table[name]["peak_mib"] for name in MEASURED)
    print(f"{' and '.join(MEASURED)}: {together:,.0f} rows/s, {most:.1f} MiB")
    report = {
        "queries": options.queries,
        "rows_per_second": together,
        "peak_mib": most,
        "machine": machine("numpy", "orjson"),
        "table": table,
    }
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n")


def parsed() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def job(folder: Path, count: int) -> Config:
    """Write the files of a job with that many queries, and return its options."""
    folder.mkdir()
    drawn = random.Random(0)
    words = ["".join(drawn.choices("abcdefghijklmnopqrstuvwxyz", k=drawn.randrange(3, 9))) for _ in range(WORDS)]
    rules = " ".join(drawn.choices(words, k=400))
    prompt, queries = folder / "prompt.txt", folder / "queries.jsonl"
    prompt.write_text(f"{rules}\n" + "".join(f"Sort {number}:{label}\n" for number, label in enumerate(LABELS)))
    with queries.open("w") as file:
        for number in range(count):
            text = " ".join(drawn.choices(words, k=drawn.randrange(SHORTEST, LONGEST)))
            row = {"id": f"row-{number}", "query": text, "reference": LABELS[number % 12], "slices": [f"{number % 4}"]}
            file.write(json.dumps(row) + "\n")
    return Config(
        prompt=prompt,
        queries=queries,
        labels=LABELS,
        run_dir=folder / "run",
        backend="fake",
        epochs=1,
        batch_size=max(32, count // STEPS),
    )


def shown(name: str, row: Mapping[str, float], queries: int) -> None:
    """Print the cost of one stage."""
    wall, processor = row["seconds"], row["processor_seconds"]
    print(
        f"{name:24} {wall:8.1f} s {queries / wall:10,.0f} rows/s, by processor {processor:8.1f} s "
        f"{queries / processor:10,.0f} rows/s, {row['peak_mib']:8.1f} MiB",
        flush=True,
    )


def go(config: Config, tell: Callable[[str, Mapping[str, float]], None]) -> dict[str, dict[str, float]]:
    """Print the cost of each stage, and return it."""
    run = RunDirectory(config.directory)
    table = {}

    def stage(name: str, call: Callable[[], object]) -> None:
        with Stage() as measured:
            call()
        table[name] = measured.row()
        tell(name, table[name])

    stage("read the queries", lambda: read_inputs(config).fingerprint())
    stage("dry run", lambda: preview(config))
    stage("near-duplicates", lambda: Groups(read_inputs(config).queries))
    stage("generate", lambda: pipeline.generate(config))
    with patch.object(pipeline, "Groups", ByHash):
        stage("generate, split by hash", lambda: pipeline.generate(replace(config, run_dir=run.path / "by-hash")))
    stage("train", lambda: pipeline.train(run, {}))
    stage("evaluate", lambda: pipeline.evaluate(run))
    stage("report", lambda: reporting.report(run))
    return table


if __name__ == "__main__":
    main()
