"""Measures how the cost of a run grows with the number of queries: seconds per stage, and peak memory, as a curve.

usage: python benchmarks/growth.py [--local N ...] [--fake N ...] --out FILE.json

The local backend trains the built-in model on the first queries of the shipped task; the fake backend runs the larger
jobs, as in million.py. Each size is a process of its own. Training takes one epoch, so that every query is seen equally
often at every size.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from measuring import Stage, machine
from million import job

from pdistill.core import pipeline
from pdistill.core.setup.config import Config
from pdistill.core.store.rundir import RunDirectory

LOCAL, FAKE = (100, 300, 1_000, 2_751), (100, 1_000, 10_000, 100_000)
BATCH = 32


def main() -> None:
    """Run every size, print the curve and save it; with --one, run one size and print its cost."""
    options = parsed()
    if options.one:
        backend, count = options.one
        print("RESULT " + json.dumps(one(backend, int(count))))
        return
    curve = []
    for backend, counts in (("local", options.local), ("fake", options.fake)):
        for count in counts:
            command = [sys.executable, __file__, "--one", backend, str(count)]
            said = subprocess.run(command, text=True, stdout=subprocess.PIPE, check=True).stdout
            line = next(line for line in said.splitlines() if line.startswith("RESULT "))
            row = {"backend": backend, "queries": count, **json.loads(line.removeprefix("RESULT "))}
            curve.append(row)
            print(
                f"{backend:6} {count:8,} queries {row['seconds']:9.2f} s {1e3 * row['seconds'] / count:8.3f} ms a query "
                f"{row['peak_mib']:8.1f} MiB",
                flush=True,
            )
            report = {"machine": machine("torch", "transformers", "numpy"), "curve": curve}
            options.out.write_text(json.dumps(report, indent=1) + "\n")


def parsed() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--local", type=int, nargs="*", default=LOCAL)
    parser.add_argument("--fake", type=int, nargs="*", default=FAKE)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.one and options.out is None:
        parser.error("--out FILE.json is missing")
    return options


def one(backend: str, count: int) -> dict[str, Any]:
    """Return the cost of a run with that many queries, after a smaller one has loaded the libraries."""
    with tempfile.TemporaryDirectory() as folder:
        run(config(backend, Path(folder) / "few", 60))
        large = config(backend, Path(folder) / "many", count)
        with Stage() as measured:
            stages = run(large)
    return {**measured.row(), "stages": stages}


def config(backend: str, folder: Path, count: int) -> Config:
    """Return the options of a run with that many queries."""
    if backend == "fake":
        return replace(job(folder, count), batch_size=BATCH)
    return Config(task="langid", limit=count, run_dir=folder / "run", epochs=1, batch_size=BATCH, force=True)


def run(config: Config) -> dict[str, float]:
    """Return the seconds of each stage of a whole run."""
    began = time.perf_counter()
    pipeline.run(config)
    whole = time.perf_counter() - began
    seconds = RunDirectory(config.directory).seconds()
    return {**seconds, "rest": round(whole - sum(seconds.values()), 3)}


if __name__ == "__main__":
    main()
