"""Starts a server of the Tinker API on loopback (`tuft_on_cpu`), and says what the client needs to reach it."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

ROOT = Path(__file__).parents[3]
PACKAGE = "tests.backends.tinker.tuft_on_cpu"
BUILTIN = ROOT / "pdistill" / "models" / "langid"
MODEL = "Qwen/Qwen3-30B-A3B"
KEY = "tml-loopback-key-5d1c"
START_SECONDS = 600
NEEDED = ("tinker", "tuft", "uvicorn", "torch", "transformers", "peft")

KINDS = {
    "asample": "sampling",
    "retrieve_future": "retrieval",
    "retrieve_futures": "retrieval",
    "forward": "training",
    "forward_backward": "training",
    "optim_step": "training",
    "create_model": "opening",
    "create_sampling_session": "opening",
    "create_session": "opening",
    "load_weights": "opening",
    "save_weights": "saving",
    "save_weights_for_sampler": "saving",
    "save_weights_external": "saving",
}


def kind_of(path: str) -> str:
    """Return the kind of a request by its path: sampling, retrieval, training, opening, saving or other."""
    return KINDS.get(path.rpartition("/")[2], "other")


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: its address, the key that it accepts, the folder of its log, and its process."""

    url: str
    key: str
    folder: Path
    process: "subprocess.Popen[bytes]"

    @property
    def log(self) -> str:
        """Its output so far."""
        return (self.folder / "server.log").read_text(errors="replace")


def missing() -> str:
    """Return why client and server cannot run here, or an empty string."""
    packages = [name for name in NEEDED if find_spec(name) is None]
    return f"packages are not installed: {', '.join(packages)}; run: make test-tinker" if packages else ""


@contextmanager
def running(folder: Path, models: Mapping[str, Path] | None = None) -> Iterator[Server]:
    """Yield a server of the built-in model as `MODEL`, or of the given models: folders by name.

    Args:
        folder: for its log and its checkpoints.

    Raises:
        RuntimeError: it does not start; the message ends with its log.
    """
    port = free_port()
    served = [f"--model={name}={path}" for name, path in (models or {MODEL: BUILTIN}).items()]
    options = [*served, f"--port={port}", f"--dir={(folder / 'server').absolute()}", f"--api-key={KEY}"]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", PACKAGE, *options], stdout=log, stderr=subprocess.STDOUT, env=_offline(), cwd=ROOT
        )
    server = Server(f"http://127.0.0.1:{port}", KEY, folder, process)
    try:
        _wait(server)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def environment(url: str, key: str = KEY) -> dict[str, str]:
    """Return the environment variables that point a client at the server."""
    return {
        "TINKER_BASE_URL": url,
        "TINKER_API_KEY": key,
        "TINKER_TELEMETRY": "0",
        "HF_HUB_OFFLINE": "1",
    }


def free_port() -> int:
    """Return a port that no process listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _offline() -> dict[str, str]:
    """Return the server's environment variables: one thread, no model hub, no GPU."""
    fixed = {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONWARNINGS": "ignore"}
    return {**os.environ, **fixed}


def _wait(server: Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            with urlopen(f"{server.url}/api/v1/healthz", timeout=1):
                return
        except (URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"the server at {server.url} did not start:\n{server.log[-4000:]}")
