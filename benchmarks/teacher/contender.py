"""One contender of the teacher pass, in a process of its own.

usage: python benchmarks/teacher/contender.py NAME JOB.json OUT.json

JOB.json holds the model's folder, the prompt's token ids, the token ids of the rows after it, and the number of output tokens per
row. OUT.json gets the seconds of each repeat and the tokens. Everything is run once first, to warm up (generate: to find its batch size).
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import transformers

from pdistill.backends.local.model.loading import find_model, load_model
from pdistill.backends.local.model.machine import probe
from pdistill.backends.local.model.malloc import keep_freed_memory
from pdistill.backends.local.options import LocalOptions
from pdistill.backends.local.torch_engine.decoder import Decoder
from pdistill.backends.local.vllm import engine as vllm_engine
from pdistill.backends.local.vllm.sampler import VllmSampler
from pdistill.core.contract.sampling import Key, Request, Sampling

Rows = list[list[int]]
Job = dict[str, Any]
Ask = Callable[[], Rows]


def main() -> None:
    """Run the contender as often as the job says, and write its results."""
    name, given, out = sys.argv[1:]
    job: Job = json.loads(Path(given).read_text())
    keep_freed_memory()
    ask, facts = CONTENDERS[name](job)
    if name != "generate":
        ask()
    took: list[dict[str, float]] = []
    tokens: Rows = []
    for _ in range(job["repeats"]):
        wall, cpu = time.perf_counter(), time.process_time()
        tokens = ask()
        took.append({"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu})
    versions = {"torch": torch.__version__, "transformers": transformers.__version__, **facts.pop("versions", {})}
    report = {"took": took, "tokens": tokens, "threads": torch.get_num_threads(), "versions": versions, **facts}
    Path(out).write_text(json.dumps(report))
    vllm_engine.close_engine()


def torch_engine(job: Job) -> tuple[Ask, Job]:
    """pdistill's torch engine; the prompt is computed again each time."""
    source, machine = find_model(job["model"]), probe(LocalOptions(engine="torch"))
    decoder = Decoder(load_model(source, machine), source.name)
    rows, most, prompt = job["rows"], job["most"], job["prompt"]

    def ask() -> Rows:
        given: Rows = [[] for _ in rows]

        def choose(numbers: Sequence[int], logits: torch.Tensor) -> list[int | None]:
            for number, token in zip(numbers, logits.argmax(-1).tolist(), strict=True):
                given[number].append(token)
            return [given[number][-1] if len(given[number]) < most[number] else None for number in numbers]

        prefix = decoder.engine.prefix(prompt)
        for _ in decoder.engine.decode(rows, prefix, max(most), choose):
            pass
        return given

    return ask, {"engine": type(decoder.engine).__name__}


def generate(job: Job) -> tuple[Ask, Job]:
    """transformers' generate on the whole prompt and query, left-padded, with the best of some batch sizes."""
    model = load_model(find_model(job["model"]), probe(LocalOptions(engine="torch")))
    speeds = {}
    for size in job["batches"]:
        start = time.perf_counter()
        generated(model, job, size, size)
        speeds[size] = (time.perf_counter() - start) / size
    best = min(speeds, key=lambda size: speeds[size])
    return lambda: generated(model, job, job["generated"], best), {"batch": best, "seconds_a_query_by_batch": speeds}


def generated(model: Any, job: Job, count: int, size: int) -> Rows:
    """The tokens of the first `count` rows, by batches of `size`."""
    prompt, most, given = job["prompt"], job["most"], []
    for start in range(0, count, size):
        batch = job["rows"][start : min(start + size, count)]
        width = len(prompt) + max(map(len, batch))
        lacking = [width - len(prompt) - len(row) for row in batch]
        tokens = model.generate(
            torch.tensor([[0] * lack + [*prompt, *row] for lack, row in zip(lacking, batch, strict=True)]),
            attention_mask=torch.tensor([[0] * lack + [1] * (width - lack) for lack in lacking]),
            do_sample=False,
            max_new_tokens=max(most[start : start + len(batch)]),
            eos_token_id=None,
            pad_token_id=0,
        )
        given += [tokens[i, width : width + most[start + i]].tolist() for i in range(len(batch))]
    return given


def plain_vllm(job: Job) -> tuple[Ask, Job]:
    """vLLM through its own LLM.generate, with its prefix cache, which is empty at the start."""
    os.environ.update(vllm_engine.ENVIRONMENT | vllm_engine.CPU_ENVIRONMENT)
    import vllm

    longest = len(job["prompt"]) + max(map(len, job["rows"])) + max(job["most"])
    llm = vllm.LLM(
        job["model"],
        dtype="float32",
        skip_tokenizer_init=True,
        enable_prefix_caching=True,
        enforce_eager=True,
        max_model_len=longest,
        kv_cache_memory_bytes=vllm_engine.CPU_KV_CACHE_BYTES,
    )
    prompts = [{"prompt_token_ids": [*job["prompt"], *row]} for row in job["rows"]]
    sampling = [
        vllm.SamplingParams(temperature=0.0, max_tokens=most, ignore_eos=True, detokenize=False) for most in job["most"]
    ]

    def ask() -> Rows:
        llm.reset_prefix_cache()
        return [list(output.outputs[0].token_ids) for output in llm.generate(prompts, sampling, use_tqdm=False)]

    return ask, {"versions": {"vllm": vllm.__version__}}


def pdistill_vllm(job: Job) -> tuple[Ask, Job]:
    """pdistill's vLLM engine; all rows have the same number of output tokens."""
    machine, options = probe(LocalOptions(engine="vllm")), LocalOptions(engine="vllm")
    engine = vllm_engine.open_engine(find_model(job["model"]), machine, options, None)
    decode = lambda ids, **_: " ".join(map(str, ids))  # noqa: E731
    renderer: Any = SimpleNamespace(prompt_ids=lambda ids: ids, tokenizer=SimpleNamespace(decode=decode))
    sampler = VllmSampler(engine, renderer, frozenset(), None)
    prompts: list[Any] = [[*job["prompt"], *row] for row in job["rows"]]
    (most,) = set(job["most"])

    def ask() -> Rows:
        engine._engine.reset_prefix_cache()
        requests = (Request(Key(number), prompt, number) for number, prompt in enumerate(prompts))
        given = dict(sampler.generate(requests, Sampling(max_tokens=most)))
        return [[int(token) for token in given[Key(number)].text.split()] for number in range(len(prompts))]

    return ask, {"versions": {"vllm": machine.vllm}}


CONTENDERS: dict[str, Callable[[Job], tuple[Ask, Job]]] = {
    "torch": torch_engine,
    "generate": generate,
    "vllm": plain_vllm,
    "pdistill-vllm": pdistill_vllm,
}


def medians(took: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the median, minimum and maximum seconds of the repeats, and the median processor seconds."""
    seconds = [one["seconds"] for one in took]
    return {
        "seconds": statistics.median(seconds),
        "least_seconds": min(seconds),
        "most_seconds": max(seconds),
        "cpu_seconds": statistics.median(one["cpu_seconds"] for one in took),
    }


if __name__ == "__main__":
    main()
