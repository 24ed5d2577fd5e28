"""Compares training by pdistill with TRL's SFTTrainer: rows per second, peak memory above that after loading, and losses.

usage: python benchmarks/training/compare.py --peer-python VENV/bin/python --out FILE.json

The peer's environment is installed from requirements.txt here. Two jobs: "rate" trains the built-in model on the shipped
queries with their references; "vocabulary" takes two steps on a Qwen3 with random weights and 151,936 words. Every repeat
runs each contender once, in a process of its own, one after the other. Another model or other rows replace
those of "rate"; a row of a ROWS.jsonl is {"ids": [...], "prompt": how many of them are not trained}.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from measuring import machine

PEERS = ("by length", "padding-free", "packed")
JOBS = ("rate", "vocabulary")
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
WORDS = 151_936
STEPS = 2
POINTS = 8
"""Points of a loss curve that are printed."""


def main() -> None:
    """Run the comparison, print its tables and save the measurements."""
    options = parsed()
    report: dict[str, Any] = {
        "options": {key: str(value) for key, value in vars(options).items() if key not in ("out", "peer_python")},
        "machine": machine("torch", "transformers", "peft"),
    }
    with tempfile.TemporaryDirectory() as folder:
        for name in options.jobs:
            job = made(name, options, Path(folder))
            measured: dict[str, list[dict[str, Any]]] = {}
            for _ in range(options.repeats if name == "rate" else 1):
                for contender in ("pdistill", *options.peers):
                    measured.setdefault(contender, []).append(one(job, contender, options))
            table = {contender: summary(results) for contender, results in measured.items()}
            shown(name, table)
            report[name] = {"table": table, "runs": measured}
            options.out.write_text(json.dumps(report, indent=1) + "\n")


def parsed() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--jobs", nargs="*", default=JOBS, choices=JOBS)
    parser.add_argument("--peers", nargs="*", default=PEERS, choices=PEERS)
    parser.add_argument("--model", help="model for 'rate'; default: the built-in one")
    parser.add_argument("--rows", type=Path, help="rows for 'rate'; default: the shipped queries")
    parser.add_argument("--limit", type=int, help="number of rows for 'rate'")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    return parser.parse_args()


def made(name: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Write the model and the rows of a job, and return its description for the contenders."""
    rows, epochs = options.rows or shipped(folder / "rows.jsonl"), options.epochs
    lines = rows.read_text().splitlines()[: options.limit]
    model = options.model or builtin()
    if name == "vocabulary":
        model, epochs = large_vocabulary(folder / "qwen3"), 1
        drawn, some = random.Random(0), []
        for line in lines[: STEPS * options.batch_size]:
            row = json.loads(line)
            ids = [drawn.randrange(WORDS) for _ in row["ids"]]
            some.append(json.dumps({"ids": ids, "prompt": row["prompt"]}))
        lines = some
    file = folder / f"{name}.jsonl"
    file.write_text("\n".join(lines) + "\n")
    return {
        "model": model,
        "rows": str(file),
        "batch_size": options.batch_size,
        "epochs": epochs,
        "learning_rate": options.learning_rate,
        "rank": options.rank,
        "threads": options.threads,
        "targets": LINEAR,
    }


def builtin() -> str:
    """Return the directory of the built-in model."""
    from pdistill.backends.local.model.loading import find_model

    return str(find_model("builtin").folder)


def shipped(file: Path) -> Path:
    """Store the shipped queries as the student is trained on them, with their references as answers."""
    from pdistill.backends.local.backend import LocalBackend
    from pdistill.backends.local.options import LocalOptions
    from pdistill.tasks.langid import LanguageIdentification

    task, renderer = LanguageIdentification(), LocalBackend(LocalOptions()).student("builtin", file.parent).renderer()
    with file.open("w") as out:
        for query in task.queries():
            prompt = task.student_prompt(query)
            before = list(renderer.prompt_ids(prompt))
            ids = [*before, *renderer.target_ids(prompt, str(query.reference))]
            out.write(json.dumps({"ids": ids, "prompt": len(before)}) + "\n")
    return file


def large_vocabulary(folder: Path) -> str:
    """Store a small Qwen3 with random weights and a large vocabulary, and the built-in tokenizer; return the directory."""
    import torch
    from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(0)
    shape = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 6, "vocab_size": WORDS}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64}
    config = Qwen3Config(**shape, **heads, max_position_embeddings=2048, tie_word_embeddings=True)
    Qwen3ForCausalLM(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(builtin()).save_pretrained(folder)
    return str(folder)


def one(job: dict[str, Any], name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return the measurements of one contender's process."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "job.json"
        file.write_text(json.dumps({**job, "output": folder, "variant": name}))
        ours = name == "pdistill"
        python, script = (sys.executable, "ours.py") if ours else (options.peer_python, "peer.py")
        found = os.pathsep.join(filter(None, (str(HERE.parent), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads), "PYTHONPATH": found}
        process = subprocess.run(
            [python, str(HERE / script), str(file)], env=environment, text=True, stdout=subprocess.PIPE, check=True
        )
    line = next(line for line in process.stdout.splitlines() if line.startswith("RESULT "))
    result: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
    return result


def summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Return medians over the repeats, and the spread of the rates."""
    rates = [result["rows"] / sum(result["wall"]) for result in results]
    return {
        "rows_per_second": statistics.median(rates),
        "slowest": min(rates),
        "fastest": max(rates),
        "rows_per_processor_second": statistics.median(result["rows"] / sum(result["cpu"]) for result in results),
        "peak_mib": statistics.median(result["peak"] for result in results) / 2**20,
        "losses": results[0]["losses"],
    }


def shown(name: str, table: dict[str, dict[str, Any]]) -> None:
    """Print one job's table, and its goals."""
    print(f"\n{name}: rows/s (slowest to fastest), rows per processor second, peak memory; loss during training")
    for contender, row in table.items():
        losses = row["losses"]
        curve = " ".join(f"{losses[round(at * (len(losses) - 1) / (POINTS - 1))]:.3f}" for at in range(POINTS))
        print(
            f"{contender:14} {row['rows_per_second']:7.1f} ({row['slowest']:.1f} to {row['fastest']:.1f}) "
            f"{row['rows_per_processor_second']:7.1f} {row['peak_mib']:8.1f} MiB   {curve}"
        )
    peers = {contender: row for contender, row in table.items() if contender != "pdistill"}
    if not peers:
        return
    ours = table["pdistill"]
    best = max(peers, key=lambda contender: peers[contender]["rows_per_second"])
    leanest = min(peers, key=lambda contender: peers[contender]["peak_mib"])
    speed = ours["rows_per_second"] / peers[best]["rows_per_second"]
    processor = ours["rows_per_processor_second"] / max(row["rows_per_processor_second"] for row in peers.values())
    memory, least = (ours["peak_mib"] / peers[peer]["peak_mib"] for peer in (best, leanest))
    aim = "2 and 0.6" if name == "rate" else "memory 0.4"
    print(
        f"against TRL's fastest ({best}): {speed:.2f} x the rows/s ({processor:.2f} x by processor time), {memory:.2f} x "
        f"the memory; against its leanest ({leanest}): {least:.2f} x the memory (goal: {aim})",
        flush=True,
    )


if __name__ == "__main__":
    main()
