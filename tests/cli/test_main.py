import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import Result

from pdistill.cli.main import COMMANDS, pdistill

HEAVY = {"torch", "transformers", "peft", "rich", "pydantic", "scipy", "numpy"}
LOADED = """
import atexit, sys
atexit.register(lambda: print(' '.join(sorted(set(sys.modules) & {heavy})), file=sys.stderr))
from pdistill.cli.main import main
sys.argv = ['pdistill', *sys.argv[1:]]
main()
"""
DEFAULT_SIGNALS = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from pdistill.cli.main import main
sys.argv = ['pdistill', *sys.argv[1:]]
main()
"""

STOPPED_AFTER = """
import os, signal, sys, threading
signal.signal(signal.SIGINT, signal.default_int_handler)
from pdistill.__main__ import main
threading.Timer(float(sys.argv[1]), os.kill, (os.getpid(), signal.SIGINT)).start()
sys.argv = ['pdistill', *sys.argv[2:]]
main()
"""
STOPPED_WITHIN = """
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from pdistill.cli import main
CODE = "signal.raise_signal(signal.SIGINT)\\nreached = True"

def stopped(**settings):
    exec({code}, globals())
    time.sleep(60)

main.pdistill.main = stopped
try:
    main.main()
finally:
    print("reached" in globals(), flush=True)
"""


def start(program: str, *args: object, environment: dict[str, str] | None = None) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, args)],
        env=os.environ | (environment or {}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("args", "environment"),
    [
        (["--help"], {}),
        (["--version"], {}),
        (["run", "--help"], {}),
        (["sample", "-h"], {}),
        (["backends"], {}),
        (["tasks"], {}),
        (["plugins", "--json"], {}),
        ([], {"_PDISTILL_COMPLETE": "bash_complete", "COMP_WORDS": "pdistill run --task ", "COMP_CWORD": "3"}),
    ],
)
def test_help_listings_and_completion_import_nothing_heavy(args: list[str], environment: dict[str, str]) -> None:
    process = start(LOADED.format(heavy=HEAVY), *args, environment=environment)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out
    assert err == "\n"


def test_short_helps_are_those_of_the_commands() -> None:
    context = click.Context(pdistill)
    for name, listed in COMMANDS.items():
        command = pdistill.get_command(context, name)
        assert command is not None
        assert (command.name, command.get_short_help_str(200)) == (name, listed.help)


def test_unknown_words_suggest_the_nearest(call: Callable[..., Result]) -> None:
    command, option = call("rnu"), call("run", "--tsk", "langid")
    assert (command.exit_code, option.exit_code) == (2, 2)
    assert "unknown command 'rnu', did you mean 'run'? choose from backends" in command.stderr
    assert "did you mean '--task'? see pdistill run --help" in option.stderr
    assert command.stdout == option.stdout == ""
    assert command.stderr.count("\n") == option.stderr.count("\n") == 1


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_stopped_run_saves_everything_and_says_how_to_resume(
    sent: signal.Signals, job: Callable[[Path], list[object]], tmp_path: Path
) -> None:
    run = tmp_path / "a run"
    process = start(DEFAULT_SIGNALS, "run", *job(run), "-B", "latency=0.05")
    responses = run / "responses.jsonl.part"
    until = time.monotonic() + 60
    while not (responses.exists() and responses.stat().st_size) and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(sent)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    last = err.splitlines()[-1]
    assert last.startswith("stopped; progress is saved; resume with: pdistill run --prompt ")
    assert f"--run-dir '{run}' -B latency=0.05" in last
    assert "Traceback" not in err
    assert responses.read_text().count("\n") >= 1


@pytest.mark.parametrize("after", [0.02, 0.04, 0.06, 0.08, 0.1, 0.13, 0.16, 0.2, 0.25, 0.3, 0.35, 0.4])
def test_a_stop_in_the_first_moments_shows_no_traceback(after: float, files: Path, tmp_path: Path) -> None:
    job = ("run", "--task", "langid", "--backend", "fake", "-B", "latency=0.5", "--run-dir", tmp_path / "run")
    process = start(STOPPED_AFTER, after, *job)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("code", "reached"),
    [
        ("CODE", "False"),  # Python notes an interrupt in the text of an exec, and would end `python -m` by the signal
        ("compile(CODE, '<frozen importlib._bootstrap>', 'exec')", "True"),
        ("'class X:\\n def __del__(self): signal.raise_signal(signal.SIGINT)\\nX()\\nreached = True'", "True"),
    ],
)
def test_a_stop_is_not_lost_and_exits_with_130(code: str, reached: str, tmp_path: Path) -> None:
    (tmp_path / "stopped.py").write_text(STOPPED_WITHIN.format(code=code))
    package = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "stopped"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr, done.returncode) == (f"{reached}\n", "", 130)


def test_closed_pipe_is_not_reported(finished: Path) -> None:
    process = start(DEFAULT_SIGNALS, "sample", finished, "--json")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.close()
    process.stdin.write("a\n" * 1000)
    process.stdin.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait(60) == 0
    process.stderr.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line(finished: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "pdistill", "report", finished], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert (done.returncode, done.stderr) == (1, "error: no space left on device\n")


def test_output_is_utf8_whatever_the_locale(files: Path) -> None:
    environment = os.environ | {"LC_ALL": "C", "PYTHONIOENCODING": "latin-1"}
    command = [sys.executable, "-m", "pdistill", "tasks", "langid", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert '"queries"' in done.stdout.decode("utf-8")
    failed = subprocess.run([sys.executable, "-m", "pdistill", "größe"], env=environment, capture_output=True)
    assert "unknown command 'größe'" in failed.stderr.decode("utf-8")


def test_no_command_shows_the_help(call: Callable[..., Result]) -> None:
    result = call()
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Usage: pdistill")


@pytest.mark.parametrize("arguments", ["backends", "--help", "report {run}", "report {run} --json"])
def test_a_reader_that_stops_reading_fails_nothing(arguments: str, finished: Path) -> None:
    command = f"{sys.executable} -m pdistill {arguments.format(run=finished)} | head -n 1"
    ended = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr, len(ended.stdout.splitlines())) == (0, "", 1)


@pytest.mark.parametrize(("redirection", "code"), [(">&-", 0), ("2>&-", 0), ("<&- >&- 2>&-", 0)])
def test_closed_streams_fail_nothing(redirection: str, code: int, finished: Path) -> None:
    command = f"{sys.executable} -m pdistill report {finished} {redirection}"
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (code, "")


def test_no_columns_are_as_wide_as_the_default(finished: Path) -> None:
    command = [sys.executable, "-m", "pdistill", "report", str(finished)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "0"})
    assert max(map(len, ended.stdout.splitlines())) > 60
