"""Training of the built-in model: `python -m pretrain.train CORPORA OUT --prompt FILE`; the same command resumes after a kill."""

from __future__ import annotations

import math
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import click
import torch
import torch.distributed as dist
from tokenizers import Tokenizer
from torch.multiprocessing.spawn import start_processes
from torch.nn import functional

from pretrain import corpora, export, tokenizer, words
from pretrain.labels import SINGLE_TOKENS
from pretrain.layout import Batch, Group, lay_out
from pretrain.log import Log
from pretrain.matching import set_copying, set_heads
from pretrain.network import Network, Output, Shape
from pretrain.optimizer import Optimizer
from pretrain.probes import Probes, fit
from pretrain.state import State
from pretrain.stream import Stream, read_prompt, read_reserved

WARM_UP = 60
DECAY_FROM, GO_ON_DECAY_FROM = 0.5, 0.1
GO_ON_SHARE = 0.7
"""The fraction of the full learning rate with which a finished model is trained further."""
TRIES = 5
FITTED_ON = 16
"""Steps whose batches the probes are fitted to when a finished model is trained further."""


@dataclass(frozen=True)
class Options:
    """The options of a training."""

    corpora: Path
    out: Path
    prompt: Path
    steps: int
    seed: int
    workers: int
    save_every: int
    match_at: int
    copy_at: int
    start: Path | None = None
    queries: Path | None = None


def share_of_rate(step: int, steps: int, goes_on: bool = False) -> float:
    """The fraction of the full learning rate at a step: up, level, down to a twentieth; lower for a finished model."""
    whole, level = (GO_ON_SHARE, GO_ON_DECAY_FROM) if goes_on else (1.0, DECAY_FROM)
    if step < WARM_UP:
        return whole * (step + 1) / WARM_UP
    falling = max(0.0, step / steps - level) / (1 - level)
    return whole * (1.0 - 0.95 * min(1.0, falling))


def compute_dtype() -> torch.dtype:
    """bfloat16 if this machine multiplies faster in it, else float32."""
    seconds: dict[torch.dtype, float] = {}
    for dtype in [torch.float32, torch.bfloat16] * TRIES:
        matrix = torch.ones(1024, 1024, dtype=dtype)
        started = time.perf_counter()
        matrix @ matrix
        seconds[dtype] = min(time.perf_counter() - started, seconds.get(dtype, math.inf))
    return torch.bfloat16 if seconds[torch.bfloat16] < seconds[torch.float32] else torch.float32


def shares(groups: list[Group], workers: int) -> list[list[Group]]:
    """The groups, distributed so that each worker has about the same work."""
    dealt: list[list[Group]] = [[] for _ in range(workers)]
    loads = [0] * workers
    for group in sorted(groups, key=lambda group: -group.cost()):
        lightest = loads.index(min(loads))
        dealt[lightest].append(group)
        loads[lightest] += group.cost()
    return dealt


def batches(
    stream: Stream, state: State, options: Options, rank: int, dtype: torch.dtype
) -> Iterator[tuple[Batch, int, int]]:
    """One worker's batch of every following step, with all queries and prompts of the step, each prepared while the last is processed."""

    def make(step: int) -> tuple[Batch, int, int]:
        groups = stream.groups(step, step / options.steps)
        queries = sum(len(group.queries) for group in groups)
        return lay_out(shares(groups, options.workers)[rank], dtype), queries, len(groups)

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(make, state.step)
        for step in range(state.step, options.steps):
            batch = coming.result()
            coming = pool.submit(make, step + 1)
            yield batch


def gradients(state: State, batch: Batch, queries: int, prompts: int) -> tuple[float, dict[str, tuple[int, int]]]:
    """Compute the gradients of a batch; returns its loss and the numbers of right and of all answers, by kind."""
    output: Output = state.network(batch.ids, batch.layout)
    losses = functional.cross_entropy(output.logits, batch.targets, reduction="none") * batch.weights
    loss = losses.sum() / queries
    (loss + state.probes.loss(state.network, output, batch, queries, prompts)).backward()  # type: ignore[no-untyped-call]
    hits = output.logits[batch.firsts].argmax(-1) == batch.targets[batch.firsts]
    right, seen = Counter[str](), Counter(batch.tags)
    for tag, hit in zip(batch.tags, hits.tolist(), strict=True):
        right[tag] += hit
    return loss.item(), {tag: (right[tag], seen[tag]) for tag in seen} | state.probes.right(
        state.network, output, batch
    )


def summed(state: State) -> None:
    """Add the gradients of all workers, on every worker."""
    parameters = [*state.network.parameters(), *state.probes.parameters()]
    flat = torch.cat([_gradient(parameter).flatten() for parameter in parameters])
    dist.all_reduce(flat)
    for parameter, part in zip(parameters, torch.split(flat, [p.numel() for p in parameters]), strict=True):
        parameter.grad = part.view_as(parameter)


def _gradient(parameter: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


def worker(rank: int, options: Options) -> None:
    """Train as one of the workers; the first one also saves and logs. Ends when its parent is gone."""
    torch.set_num_threads(1)
    parent = os.getppid()
    store = f"file://{options.out / 'store'}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=options.workers)
    torch.manual_seed(options.seed)
    dtype = compute_dtype()
    network = Network(Shape(), dtype)
    tokens = Tokenizer.from_file(str(options.out / "tokenizer.json"))
    names = [tokens.encode(name).ids[0] for name in [*corpora.ALL_NAMES.values(), "Other"]]
    probes = Probes(network, names, [tokens.encode(label).ids[0] for label in SINGLE_TOKENS])
    average = [parameter.detach().clone() for parameter in network.parameters()]
    state = State(network, probes, Optimizer(network, probes), average)
    saved = options.out / "state.pt"
    if saved.exists():
        state.load(saved)
    elif options.start is not None:
        export.read_weights(network, options.start / "model.safetensors")
        state.average = [parameter.detach().clone() for parameter in network.parameters()]
    texts = corpora.read(options.corpora)
    stream = Stream(
        texts,
        words.cached(texts, options.out / "words.json").part("train"),
        tokens,
        read_prompt(options.prompt),
        options.seed,
        goes_on=options.start is not None,
        reserved=frozenset() if options.queries is None else read_reserved(options.queries),
    )
    if options.start is not None and state.step == 0:
        fit(probes, network, [lay_out(stream.groups(step, 0.0), dtype) for step in range(FITTED_ON)])
    log = Log(options.out / f"log.{rank}.jsonl")
    for batch, queries, prompts in batches(stream, state, options, rank, dtype):
        if os.getppid() != parent:
            break
        if options.start is None and state.step in {options.match_at, options.copy_at}:
            _match(state, stream, options)
        loss, counts = gradients(state, batch, queries, prompts)
        summed(state)
        state.optimizer.step(share_of_rate(state.step, options.steps, options.start is not None), dtype)
        state.follow()
        log.add(state.step, loss, counts)
        state.step += 1
        if rank == 0 and (state.step % options.save_every == 0 or state.step == options.steps):
            state.save(saved)
            export.write(state.averaged(), tokens, options.out / "model")
    dist.destroy_process_group()


@torch.no_grad()
def _match(state: State, stream: Stream, options: Options) -> None:
    """Set the matching heads, identically on every worker, from all groups of the step."""
    groups = stream.groups(state.step, state.step / options.steps)
    batch = lay_out(groups, state.network.dtype)
    output = state.network(batch.ids, batch.layout)
    if state.step == options.match_at:
        set_heads(state.network, state.probes, output, batch, options.seed)
    if state.step == options.copy_at:
        set_copying(state.network, state.probes, output)


@click.command()
@click.argument("corpora_folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--prompt", required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The shipped prompt."
)
@click.option("--steps", default=3000, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--workers", default=2, show_default=True, help="Number of single-threaded processes; one per core.")
@click.option("--save-every", default=100, show_default=True)
@click.option(
    "--match-at", default=900, show_default=True, help="Step at which heads are set to match names and rules."
)
@click.option(
    "--copy-at", default=900, show_default=True, help="Step at which they are set to copy the label they found."
)
@click.option(
    "--start",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Model directory whose weights and tokenizer the training starts from; no heads are set then.",
)
@click.option(
    "--queries",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Directory of queries that are never trained on, whatever the data would contain.",
)
def main(
    corpora_folder: Path, out: Path, prompt: Path, start: Path | None, queries: Path | None, **numbers: int
) -> None:
    """Train the built-in model on CORPORA_FOLDER; the state, the log and the model go to OUT."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "store").unlink(missing_ok=True)
    options = Options(corpora_folder, out, prompt, start=start, queries=queries, **numbers)
    texts = corpora.read(corpora_folder)
    if start is not None:
        shutil.copyfile(start / "tokenizer.json", out / "tokenizer.json")
    if not (out / "tokenizer.json").exists():
        tokenizer.train(texts, read_prompt(prompt)).save(str(out / "tokenizer.json"))
    words.cached(texts, out / "words.json")
    start_processes(worker, args=(options,), nprocs=options.workers, start_method="spawn")  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
