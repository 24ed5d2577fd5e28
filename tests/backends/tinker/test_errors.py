"""What cannot succeed ends in one line with the next command, without the key, and is not retried."""

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pdistill.backends.tinker import TinkerOptions, create
from pdistill.cli.main import pdistill
from tests.backends.faults import HUNG, Fault
from tests.backends.proxy import Proxy
from tests.backends.tinker.runs import copy_of, flags, small_config
from tests.backends.tinker.server import BUILTIN, KEY, MODEL, Server

WRONG_KEY = "tml-nobodys-key-77aa"


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a server that accepts connections and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def generate(run: Path, *more: str) -> Result:
    result = CliRunner().invoke(pdistill, ["generate", *flags(small_config(run)), *more])
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert lines == result.stderr.splitlines()[-1:], result.output
    assert KEY not in result.output
    assert WRONG_KEY not in result.output
    return result


def test_a_key_that_is_refused(
    proxy: Callable[..., Proxy], run_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = proxy()
    monkeypatch.setenv("TINKER_API_KEY", WRONG_KEY)
    result = generate(run_directory)
    assert result.exit_code == 1
    assert "refuses the key" in result.stderr
    assert "set TINKER_API_KEY to a valid key" in result.stderr
    assert [seen.status for seen in watched.calls].count(403) == 1, "a refused key was tried again"


@pytest.mark.parametrize("key", [None, "sk-of-another-service"])
def test_no_key(
    key: str | None, service: Server, run_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("TINKER_API_KEY")
    if key is not None:
        monkeypatch.setenv("TINKER_API_KEY", key)
    result = generate(run_directory)
    assert result.exit_code == 1
    assert "export TINKER_API_KEY=tml-" in result.stderr
    assert "another-service" not in result.stderr


def test_unreachable_address(service: Server, run_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINKER_BASE_URL", "http://127.0.0.1:1")
    result = generate(run_directory)
    assert result.exit_code == 1
    assert "can't reach the Tinker service at http://127.0.0.1:1: connection refused" in result.stderr
    assert "set TINKER_BASE_URL" in result.stderr


def test_unresponsive_address(
    service: Server, silent: str, run_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINKER_BASE_URL", silent)
    result = generate(run_directory)
    assert result.exit_code == 1
    assert f"can't reach the Tinker service at {silent}: it does not answer" in result.stderr


def test_a_model_that_is_not_served(service: Server, run_directory: Path) -> None:
    result = generate(run_directory, "--teacher=Qwen/Qwen3-30B-A3")
    assert result.exit_code == 1
    assert f"does not serve model 'Qwen/Qwen3-30B-A3', did you mean '{MODEL}'? choose from {MODEL}" in result.stderr


def test_a_query_that_does_not_fit(proxy: Callable[..., Proxy], run_directory: Path, tmp_path: Path) -> None:
    watched = proxy()
    queries = tmp_path / "queries.txt"
    queries.write_text("Guten Morgen\n" + "sehr lang " * 3000 + "\n")
    result = generate(run_directory, f"--queries={queries}")
    assert result.exit_code == 1
    assert "error: query '2' does not fit" in result.stderr or "error: query '1' does not fit" in result.stderr
    assert len(watched.of_kind("sampling")) <= 1, "a request was sent that cannot fit"


def test_a_service_that_has_answered_once_may_then_be_silent_for_a_while(proxy: Callable[..., Proxy]) -> None:
    watched = proxy()
    watched.plan = lambda call: HUNG if call.path.endswith("/healthz") and watched.calls else None
    teacher = create(TinkerOptions(tokenizer=str(BUILTIN))).teacher(MODEL)
    for _ in range(2):
        with teacher.sampler():
            pass
    assert watched.of_kind("opening")


def test_saved_state_missing_on_the_service(answered: Path, proxy: Callable[..., Proxy], tmp_path: Path) -> None:
    proxy(plan=lambda call: Fault(status=404) if call.path.endswith("/load_weights") else None)
    run = copy_of(answered, tmp_path / "run")
    gone = {"step": 0, "state": "tinker://00000000-0000-0000-0000-000000000000/weights/gone"}
    (run / "checkpoints.jsonl").write_text(json.dumps(gone) + "\n")
    result = CliRunner().invoke(pdistill, ["train", str(run)])
    assert result.exit_code == 1
    assert f"the service no longer has the saved state '{gone['state']}'" in result.stderr
    assert f"with --from {run} to reuse the answers" in result.stderr
