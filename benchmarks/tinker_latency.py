"""How much of a service's latency the tinker backend hides, measured behind a proxy that delays every answer.

    python benchmarks/tinker_latency.py sampling [--delay 0.2] [--samples 512] [--window 64]
    python benchmarks/tinker_latency.py training [--delay 0.2] [--steps 20] [--batch 64]

Needs the packages for the tests marked "tinker" (see Makefile). Sampling is measured on recorded answers, so that the
server's own time is excluded; ideally, one window of answers follows the other, each taking as long as its HTTP answers are
delayed. Training is measured on the server: without delay; with delay and steps submitted ahead; with delay and each step
awaited.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from pdistill.backends.tinker import TinkerOptions, create
from pdistill.core.contract.batches import Batch
from pdistill.core.contract.interfaces import Lora, StepMetrics, Trainer
from pdistill.core.contract.prompts import framed
from pdistill.core.contract.sampling import Key, Request, Sampling
from pdistill.core.stages.train import MAX_IN_FLIGHT
from pdistill.tasks.langid import LanguageIdentification
from pdistill.testing.training import batch_of
from tests.backends.proxy import Proxy
from tests.backends.tape import Tape
from tests.backends.tinker import server as loopback

MODEL, BUILTIN = loopback.MODEL, str(loopback.BUILTIN)
ANSWERS = ("/api/v1/asample", "/api/v1/retrieve_future")


@contextmanager
def behind(delay: float, upstream: str = "", replay: Path | None = None) -> Iterator[str]:
    """Yield the address of a proxy that runs in a process of its own."""
    port = loopback.free_port()
    command = [sys.executable, "-m", "tests.backends.proxy", f"--port={port}", f"--delay={delay}"]
    command += [f"--upstream={upstream}"] if upstream else []
    command += [f"--replay={replay}"] if replay else []
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[1])
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def sample(url: str, samples: int, window: int) -> tuple[float, float]:
    """Return the wall-clock and processor seconds for answering that many requests."""
    queries = [query.text for query, _ in zip(LanguageIdentification().queries(), range(samples), strict=False)]
    requests = [Request(Key(n), framed("{query}", text, "chat")) for n, text in enumerate(queries)]
    backend = create(TinkerOptions(tokenizer=BUILTIN, base_url=url, window=window))
    with backend.teacher(MODEL).sampler() as sampler:
        wall, cpu = time.monotonic(), time.process_time()
        found = dict(sampler.generate(requests, Sampling(max_tokens=4)))
        assert len(found) == samples, f"{len(found)} answers to {samples} requests"
        return time.monotonic() - wall, time.process_time() - cpu


def sampling(server: str, delay: float, samples: int, window: int) -> dict[str, object]:
    """Return the time of sampling with recorded answers."""
    with tempfile.TemporaryDirectory() as folder:
        tape, path = Tape(), Path(folder) / "tape.json"
        with Proxy(server, record=tape) as proxy:
            sample(proxy.url, samples, window)
        tape.save(path)
        with Proxy("http://127.0.0.1:1", replay=tape) as proxy:
            sample(proxy.url, samples, window)
            answers = sum(seen.call.path in ANSWERS for seen in proxy.calls) / samples
        with behind(delay, replay=path) as url:
            wall, cpu = sample(url, samples, window)
    ideal = math.ceil(samples / window) * answers * delay
    return {"answers_a_sample": answers, "ideal": ideal, "seconds": wall, "ratio": wall / ideal, "client_cpu": cpu}


def steps(url: str, count: int, batch: int, ahead: int, folder: Path) -> dict[str, float]:
    """Return the seconds per step, with that many in flight; the first two steps are left out."""
    student = create(TinkerOptions(tokenizer=BUILTIN, base_url=url)).student(MODEL, folder)
    one = batch_of(student.renderer())
    rows = type(one)(list(one.rows) * (batch // len(one.rows)))
    with student.trainer(Lora(rank=32), None) as trainer:
        go(trainer, rows, 2, ahead)
        wall, cpu = time.monotonic(), time.process_time()
        go(trainer, rows, count, ahead)
        return {"wall": (time.monotonic() - wall) / count, "client_cpu": (time.process_time() - cpu) / count}


def go(trainer: Trainer, batch: Batch, count: int, ahead: int) -> None:
    """Train as the core does, with `ahead` steps in flight."""
    pending: deque[Future[StepMetrics]] = deque()
    for _ in range(count):
        pending.append(trainer.step(batch, 1e-4))
        while len(pending) >= ahead:
            pending.popleft().result()
    while pending:
        pending.popleft().result()


def training(server: str, delay: float, count: int, batch: int) -> dict[str, object]:
    """Return the time of a training step without delay, and with it, submitted ahead or awaited."""
    with tempfile.TemporaryDirectory() as folder:
        found = {"server": steps(server, count, batch, MAX_IN_FLIGHT, Path(folder))}
        with behind(delay, upstream=server) as url:
            found["ahead"] = steps(url, count, batch, MAX_IN_FLIGHT, Path(folder))
            found["waited"] = steps(url, count, batch, 1, Path(folder))
    return {**found, "ratio": found["ahead"]["wall"] / found["server"]["wall"]}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("sampling", "training"))
    parser.add_argument("--delay", type=float, default=0.2, help="delay of every answer, in seconds")
    parser.add_argument("--samples", type=int, default=512)
    parser.add_argument("--window", type=int, default=64)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=64)
    given = parser.parse_args()
    if reason := loopback.missing():
        sys.exit(reason)
    with tempfile.TemporaryDirectory() as folder, loopback.running(Path(folder)) as server:
        os.environ.update(loopback.environment(server.url))
        if given.what == "sampling":
            found = sampling(server.url, given.delay, given.samples, given.window)
        else:
            found = training(server.url, given.delay, given.steps, given.batch)
    print(json.dumps({"delay": given.delay, **found}, indent=2))


if __name__ == "__main__":
    main()
