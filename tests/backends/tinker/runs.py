"""Small runs of the default task on the loopback server, and the parts of them that tests compare."""

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pdistill.core.setup.config import Config
from pdistill.core.store.rows import read_log, read_rows
from tests.backends.messages import Message
from tests.backends.proxy import Answered
from tests.backends.tape import Tape
from tests.backends.tinker.server import BUILTIN

QUERIES, BATCH, EPOCHS = 24, 8, 3
WINDOW = 8
OPTIONS = {"tokenizer": str(BUILTIN), "base": str(BUILTIN), "window": WINDOW, "timeout": 10.0, "patience": 120.0}


def small_config(run_dir: Path, **changes: Any) -> Config:
    """Return the options of a run with nine training steps."""
    options: dict[str, Any] = {
        "task": "langid",
        "limit": QUERIES,
        "backend": "tinker",
        "backend_options": OPTIONS,
        "learning_rate": 2e-3,
        "batch_size": BATCH,
        "epochs": EPOCHS,
        "rank": 8,
        "run_dir": run_dir,
    }
    return Config(**{**options, **changes})


def flags(config: Config) -> list[str]:
    """Return the options as the command line takes them."""
    assert config.task is not None
    plain = {"task", "limit", "backend", "learning_rate", "batch_size", "epochs", "rank", "run_dir"}
    given = [f"--{name.replace('_', '-')}={getattr(config, name)}" for name in sorted(plain)]
    return [*given, *(f"-B{key}={value}" for key, value in config.backend_options.items())]


def copy_of(run: Path, folder: Path) -> Path:
    """Return a copy of a run."""
    shutil.copytree(run, folder)
    return folder


def start_like(trained: Path, run: Path) -> None:
    """Let an untrained run start from the same state that another one started from."""
    first = read_log(trained / "checkpoints.jsonl")[0]
    assert first["step"] == 0
    (run / "checkpoints.jsonl").write_text(json.dumps(first) + "\n")


def losses(run: Path) -> list[float]:
    """Return the losses of a training run, whose steps must be numbered from 1, each once."""
    rows = list(read_rows(run / "metrics.jsonl"))
    assert [row["step"] for row in rows] == list(range(1, len(rows) + 1))
    return [row["loss"] for row in rows]


def prompts(calls: Iterable[Answered]) -> Counter[tuple[int, ...]]:
    """Return how often the server received a request to sample from each prompt."""
    return Counter(tuple(asked["prompt"]["chunks"][0]["tokens"]) for asked in taken(calls))


def taken(calls: Iterable[Answered]) -> Iterator[dict[str, Any]]:
    """Yield the requests to sample or to score that reached the server."""
    for seen in calls:
        if seen.call.kind == "sampling" and (seen.fault is None or seen.fault.late):
            yield json.loads(seen.call.body)


class Opened(Tape):
    """Keeps only the weights of each sampling session; those of the base are an empty string."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: dict[str, str] = {}

    def add(self, method: str, path: str, body: bytes, answer: Message) -> None:
        if path.endswith("/create_sampling_session"):
            session = json.loads(answer.body)["sampling_session_id"]
            self.weights[session] = json.loads(body).get("model_path") or ""
