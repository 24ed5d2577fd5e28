"""Compares a teacher pass by the torch engine with vLLM and with transformers' generate: seconds, and the same tokens.

usage: python benchmarks/teacher/compare.py [MODEL] [--queries N] [--repeats N] [--out FILE.json]

Needs an environment with pdistill[local] and, for that contender, vllm. Without MODEL it makes a Qwen3 of about 5 M
parameters with random weights. All contenders run in one process, in turn, and get the same token ids: one prompt, and
queries of 16 to 24 tokens behind it; every query has 4 to 8 tokens out. generate gets the first few queries only, in
left-padded batches of 8, and its seconds are scaled up; it recomputes the prompt for each of them.
"""

import argparse
import json
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import Qwen3Config, Qwen3ForCausalLM

from pdistill.backends.local import LocalOptions, vllm_engine
from pdistill.backends.local.decoder import Decoder
from pdistill.backends.local.machine import probe
from pdistill.backends.local.malloc import keep_freed_memory
from pdistill.backends.local.models import find, load_model

Rows = list[list[int]]
GENERATED, BATCH = 8, 8
names = map(str, count())


def main() -> None:
    """Run the comparison, print its table and save what was measured."""
    options = parsed()
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        contenders, shape = made(options, folder)
        measured: dict[str, list[tuple[float, float]]] = {}
        tokens: dict[str, Rows] = {}
        for turn in range(options.repeats + 1):
            for name, ask in contenders.items():
                wall, cpu = time.perf_counter(), time.process_time()
                tokens[name] = ask()
                took = (time.perf_counter() - wall, time.process_time() - cpu)
                if turn:  # the first is for warming up
                    measured.setdefault(name, []).append(took)
        vllm_engine.close()
    table = {name: summary(name, took, tokens, options.queries) for name, took in measured.items()}
    for name, row in table.items():
        print(
            f"{name:10} {row['seconds']:9.3f} s  {row['cpu_seconds']:9.3f} s of processors  same tokens {row['same']}"
        )
    versions = {"torch": torch.__version__, "transformers": transformers.__version__}
    machine = {"processor": platform.processor(), "threads": torch.get_num_threads()}
    report = {"job": shape, "machine": machine, "versions": versions, "table": table, "runs": measured}
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n")


def parsed() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--queries", type=int, default=512)
    parser.add_argument("--prompt-tokens", type=int, default=900)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def made(options: argparse.Namespace, folder: str) -> tuple[dict[str, Callable[[], Rows]], dict[str, Any]]:
    """Return the contenders by name, each a function that answers all queries, and the job's shape."""
    source, machine = find(options.model or small_model(folder)), probe(LocalOptions(engine="torch"))
    model = load_model(source, machine)
    drawn, vocabulary = random.Random(0), model.config.get_text_config().vocab_size
    token = lambda: drawn.randrange(5, vocabulary)  # noqa: E731
    prefix = [token() for _ in range(options.prompt_tokens)]
    rows = [[token() for _ in range(drawn.randrange(16, 25))] for _ in range(options.queries)]
    most = [drawn.randrange(4, 9) for _ in rows]
    decoder = Decoder(model, source.name)
    contenders = {"pdistill": lambda: by_torch(decoder, prefix, rows, most)}
    if find_spec("vllm"):
        engine = vllm_engine.opened(source, machine, LocalOptions(engine="vllm"), rank=0)
        contenders["vllm"] = lambda: by_vllm(engine, prefix, rows, most)
    contenders["generate"] = lambda: by_generate(model, prefix, rows[:GENERATED], most)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return contenders, {"parameters": parameters, "queries": len(rows), "prompt_tokens": len(prefix)}


def small_model(folder: str) -> str:
    """Store a Qwen3 with random weights in a folder, and return the folder."""
    torch.manual_seed(0)
    shape = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 6, "vocab_size": 4096}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64}
    config = Qwen3Config(**shape, **heads, max_position_embeddings=2048, initializer_range=0.05)
    Qwen3ForCausalLM(config).save_pretrained(folder)
    return folder


def by_torch(decoder: Decoder, prefix: Sequence[int], rows: Rows, most: Sequence[int]) -> Rows:
    """The torch engine; the prompt is computed anew each time."""
    given: Rows = [[] for _ in rows]

    def choose(numbers: Sequence[int], logits: torch.Tensor) -> list[int | None]:
        for number, token in zip(numbers, logits.argmax(-1).tolist(), strict=True):
            given[number].append(token)
        return [given[number][-1] if len(given[number]) < most[number] else None for number in numbers]

    before = decoder.native.prefix(prefix)
    for _ in decoder.engine.answers(rows, before, len(prefix), max(most), choose):
        pass
    return given


def by_vllm(engine: vllm_engine.VllmEngine, prefix: Sequence[int], rows: Rows, most: Sequence[int]) -> Rows:
    """vLLM with its prefix cache, which is empty at the start."""
    from vllm.sampling_params import RequestOutputKind

    engine.forget()
    asked, given = {}, dict[int, list[int]]()
    for number, row in enumerate(rows):
        name = next(names)
        asked[name] = number
        settings = {"temperature": 0.0, "max_tokens": most[number], "ignore_eos": True}
        engine.ask(name, [*prefix, *row], None, output_kind=RequestOutputKind.FINAL_ONLY, **settings)
    while len(given) < len(rows):
        for output in engine.step():
            if output.finished:
                given[asked[output.request_id]] = list(output.outputs[0].token_ids)
    return [given[number] for number in range(len(rows))]


def by_generate(model: Any, prefix: Sequence[int], rows: Rows, most: Sequence[int]) -> Rows:
    """transformers' generate on the whole prompt and query."""
    given = []
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        width = len(prefix) + max(map(len, batch))
        whole = [[0] * (width - len(prefix) - len(row)) + [*prefix, *row] for row in batch]
        mask = [[0] * (width - len(prefix) - len(row)) + [1] * (len(prefix) + len(row)) for row in batch]
        tokens = model.generate(
            torch.tensor(whole),
            attention_mask=torch.tensor(mask),
            do_sample=False,
            max_new_tokens=max(most[start : start + BATCH]),
            eos_token_id=None,
            pad_token_id=0,
        )
        given += [tokens[i, width : width + most[start + i]].tolist() for i in range(len(batch))]
    return given


def summary(name: str, took: Sequence[tuple[float, float]], tokens: dict[str, Rows], queries: int) -> dict[str, Any]:
    """Return medians, scaled up to all queries, and how many queries have the torch engine's tokens."""
    rows = tokens[name]
    scale = queries / len(rows)
    walls, cpus = ([scale * pair[i] for pair in took] for i in (0, 1))
    same = sum(one == other for one, other in zip(rows, tokens["pdistill"], strict=False))
    spread = {"least_seconds": min(walls), "most_seconds": max(walls)}
    medians = {"seconds": statistics.median(walls), "cpu_seconds": statistics.median(cpus)}
    return {**medians, **spread, "same": f"{same} of {len(rows)}"}


if __name__ == "__main__":
    main()
