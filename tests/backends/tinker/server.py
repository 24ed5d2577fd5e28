"""Starts an independent server of the Tinker API on loopback; tests that need it are skipped where it can't be had.

`PDISTILL_TINKER_SERVER` names a Python with the server's packages, and its script; by default the Python that runs the
tests, and the script in the folder `shared` beside the repository.
"""

import os
import shlex
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
BESIDE = ROOT.parent / "shared" / "tools" / "tinker_server" / "serve.py"
BUILTIN = ROOT / "pdistill" / "models" / "langid"
MODEL = "Qwen/Qwen3-30B-A3B"
KEY = "tml-loopback-key-5d1c"
START_SECONDS = 600
NEEDED = ("tuft", "tinker", "uvicorn", "torch", "transformers", "peft")

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
    """A running server: its address, the key that it takes, and its process."""

    url: str
    key: str
    folder: Path
    process: "subprocess.Popen[bytes]"

    @property
    def log(self) -> str:
        """What it has said."""
        return (self.folder / "server.log").read_text(errors="replace")


def missing() -> str:
    """Return why there can be no server and no client, or an empty text."""
    if find_spec("tinker") is None:
        return "the package tinker is not installed; run: make test-tinker"
    python, script = _command()
    if not script.is_file():
        return "the loopback server of the Tinker API is not there; name it: PDISTILL_TINKER_SERVER='PYTHON SCRIPT'"
    code = f"from importlib.util import find_spec; print(*(name for name in {NEEDED} if find_spec(name) is None))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    lacking = done.stdout.strip() or done.stderr.strip()
    return f"the loopback server of the Tinker API lacks packages: {lacking}; run: make test-tinker" if lacking else ""


@contextmanager
def running(folder: Path, models: Mapping[str, Path] | None = None) -> Iterator[Server]:
    """Give a server that serves the built-in model as `MODEL`, or the models that are named.

    Args:
        folder: takes its log and its checkpoints.

    Raises:
        RuntimeError: it doesn't start; says what it has said.
    """
    port = free_port()
    served = [f"--model={name}={path}" for name, path in (models or {MODEL: BUILTIN}).items()]
    python, script = _command()
    command = [python, str(script), *served, f"--port={port}", f"--dir={folder / 'server'}", f"--api-key={KEY}"]
    folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=folder)
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
    """Return the variables by which a client finds the server."""
    return {
        "TINKER_BASE_URL": url,
        "TINKER_API_KEY": key,
        "TINKER_TELEMETRY": "0",
        "HF_HUB_OFFLINE": "1",
    }


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _command() -> tuple[str, Path]:
    named = shlex.split(os.environ.get("PDISTILL_TINKER_SERVER", ""))
    python, script = named if len(named) == 2 else (sys.executable, str(BESIDE))
    return python, Path(script)


def _wait(server: Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            with urlopen(f"{server.url}/api/v1/healthz", timeout=1):
                return
        except (URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"the server at {server.url} did not start:\n{server.log[-4000:]}")
