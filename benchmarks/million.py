"""Runs a job of many queries on the fake backend: rows a second of each stage, and peak memory above the start.

usage: python benchmarks/million.py [--queries N] [--out FILE.json] [--profile FOLDER]

The start is this process after the same job with 200 queries, so that libraries are loaded and counted to no stage.
"""

import argparse
import cProfile
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "training"))
from memory import above, start

from pdistill.core import pipeline
from pdistill.core.config import Config
from pdistill.core.plugins import installed
from pdistill.core.preview import preview
from pdistill.core.rundir import RunDirectory
from pdistill.core.split import Groups
from pdistill.core.work import work_from

WORDS, SHORTEST, LONGEST = 5_000, 6, 14
FEW = 200


def main() -> None:
    options = parsed()
    with tempfile.TemporaryDirectory() as folder:
        small = Job(Path(folder) / "small", FEW, None)
        small.go()
        measured = Job(Path(folder) / "large", options.queries, options.profile).go()


def parsed():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--profile", type=Path)
    return parser.parse_args()


class Job:
    def __init__(self, folder: Path, count: int, profile: Path | None) -> None:
        folder.mkdir()
        self.count = count
        self.profile = profile
        task = installed().tasks["langid"].create(None) if False else None
        prompt = folder / "prompt.txt"
        labels = [f"label{i}" for i in range(12)]
        prompt.write_text("Say which group the text belongs to.\n" + "".join(f"Group {i}:{l}\n" for i, l in enumerate(labels)) + "rules " * 300)
        queries = folder / "queries.jsonl"
        drawn = random.Random(0)
        words = ["".join(drawn.choices("abcdefghijklmnopqrstuvwxyz", k=drawn.randrange(3, 9))) for _ in range(WORDS)]
        with queries.open("w") as file:
            for number in range(count):
                text = " ".join(drawn.choices(words, k=drawn.randrange(SHORTEST, LONGEST)))
                row = {"id": f"row-{number}", "query": text, "reference": labels[number % 12], "slices": [f"part {number % 4}"]}
                file.write(json.dumps(row) + "\n")
        self.config = Config(
            prompt=prompt, queries=queries, labels=tuple(labels), backend="fake", run_dir=folder / "run", epochs=1, batch_size=max(32, count//100)
        )

    def go(self):
        run = RunDirectory(self.config.directory)
        self.stage("read", lambda: work_from(self.config).hashes())
        self.stage("dry run", lambda: preview(self.config))
        self.stage("near-duplicates", lambda: sum(1 for _ in Groups(work_from(self.config).queries)))
        self.stage("generate", lambda: pipeline.generate(self.config))
        self.stage("train", lambda: pipeline.train(run, {}))
        self.stage("evaluate", lambda: pipeline.evaluate(run))
        self.stage("report", lambda: pipeline.report(run))

    def stage(self, name, call):
        if self.profile:
            p = cProfile.Profile()
            p.enable()
        loaded = start()
        wall, cpu = time.perf_counter(), time.process_time()
        call()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        mib = above(loaded) / 2**20
        if self.profile:
            p.disable()
            p.dump_stats(self.profile / name)
        if self.count > FEW:
            print(f"{name:16} {wall:8.2f} s {cpu:8.2f} s cpu {self.count/cpu:10.0f} rows/s cpu {mib:8.1f} MiB", flush=True)


main()
