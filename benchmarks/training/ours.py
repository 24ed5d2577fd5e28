"""Trains one job with pdistill's local backend; run by benchmarks/training/compare.py in a process of its own."""

import json
import random
import sys
import time
from pathlib import Path

import torch
from measuring import above, start

from pdistill.backends.local.backend import LocalBackend
from pdistill.backends.local.options import LocalOptions
from pdistill.core.contract.batches import hard_batch, hard_row
from pdistill.core.contract.interfaces import Lora


def main(job_file: str) -> None:
    """Print the measurements of the job as one JSON object."""
    job = json.loads(Path(job_file).read_text())
    torch.set_num_threads(job["threads"])
    rows = [json.loads(line) for line in Path(job["rows"]).read_text().splitlines()]
    given = [hard_row(row["ids"][: row["prompt"]], row["ids"][row["prompt"] :]) for row in rows]
    student = LocalBackend(LocalOptions()).student(job["model"], Path(job["output"]))
    batch, epochs = job["batch_size"], job["epochs"]
    steps = epochs * -(-len(given) // batch)
    losses, wall, cpu = [], [], []
    with student.trainer(Lora(rank=job["rank"], seed=0), None) as trainer:
        loaded = start()
        for epoch in range(epochs):
            random.Random(epoch).shuffle(given)
            for first in range(0, len(given), batch):
                began = time.perf_counter(), time.process_time()
                rate = job["learning_rate"] * (1 - len(losses) / steps)
                losses.append(trainer.step(hard_batch(given[first : first + batch]), rate).result().loss)
                wall.append(time.perf_counter() - began[0])
                cpu.append(time.process_time() - began[1])
    result = {"wall": wall, "cpu": cpu, "losses": losses, "rows": len(given) * epochs, "peak": above(loaded)}
    print("RESULT " + json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1])
