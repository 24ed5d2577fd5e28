"""Compares training by pdistill with TRL's SFTTrainer: rows a second, and peak memory above that after loading.

usage: python benchmarks/training/compare.py MODEL ROWS.jsonl --peer-python VENV/bin/python --out FILE.json

A row of ROWS.jsonl is {"ids": [...], "prompt": how many of them are not trained}. The peer's environment is made from
requirements.txt here. Every repeat runs each contender once, in a process of its own, one after the other.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PEERS = ("by length", "padding-free", "packed")
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def main() -> None:
    """Run the comparison, print its table and save what was measured."""
    options = parsed()
    measured: dict[str, list[dict[str, Any]]] = {}
    for _ in range(options.repeats):
        for name in ("pdistill", *options.peers):
            measured.setdefault(name, []).append(one(options, name))
    table = {name: summary(results) for name, results in measured.items()}
    for name, row in table.items():
        print(
            f"{name:14} {row['rows_per_second']:8.1f} rows/s  {row['peak_mib']:8.1f} MiB  last loss {row['last_loss']:.3f}"
        )
    machine = {"processor": platform.processor(), "threads": options.threads, "python": platform.python_version()}
    report = {
        "job": {k: str(v) for k, v in vars(options).items()},
        "machine": machine,
        "table": table,
        "runs": measured,
    }
    options.out.write_text(json.dumps(report, indent=1) + "\n")


def parsed() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("rows", type=Path)
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--peers", nargs="*", default=PEERS, choices=PEERS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    return parser.parse_args()


def one(options: argparse.Namespace, name: str) -> dict[str, Any]:
    """Return what one contender's process measured."""
    with tempfile.TemporaryDirectory() as folder:
        job = {
            "model": options.model,
            "rows": str(options.rows.resolve()),
            "output": folder,
            "variant": name,
            "batch_size": options.batch_size,
            "epochs": options.epochs,
            "learning_rate": options.learning_rate,
            "rank": options.rank,
            "threads": options.threads,
            "targets": LINEAR,
        }
        file = Path(folder) / "job.json"
        file.write_text(json.dumps(job))
        ours = name == "pdistill"
        python, script = (sys.executable, "ours.py") if ours else (options.peer_python, "peer.py")
        environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
        process = subprocess.run(
            [python, str(HERE / script), str(file)], env=environment, text=True, stdout=subprocess.PIPE, check=True
        )
    line = next(line for line in process.stdout.splitlines() if line.startswith("RESULT "))
    result: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
    return result


def summary(results: list[dict[str, Any]]) -> dict[str, float]:
    """Return medians over the repeats, and the spread of the rates."""
    rates = [result["rows"] / sum(result["wall"]) for result in results]
    return {
        "rows_per_second": statistics.median(rates),
        "slowest": min(rates),
        "fastest": max(rates),
        "rows_per_processor_second": statistics.median(result["rows"] / sum(result["cpu"]) for result in results),
        "peak_mib": statistics.median(result["peak"] for result in results) / 2**20,
        "last_loss": statistics.median(result["losses"][-1] for result in results),
    }


if __name__ == "__main__":
    main()
