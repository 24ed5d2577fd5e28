from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import click
import pytest
from click.testing import Result

from pdistill.cli.commands.jobs import generate, run
from pdistill.cli.options import config_of_flags
from pdistill.core.errors import UsageError
from pdistill.core.setup.config import Config

EXTRA = {"config", "dry_run", "as_json"}


@pytest.mark.parametrize("command", [run, generate])
def test_every_option_of_a_run_is_a_flag(command: click.Command) -> None:
    assert {param.name for param in command.params} - EXTRA == {item.name for item in fields(Config)}


def test_flags_win_over_the_file_and_pairs_are_merged(tmp_path: Path) -> None:
    file = tmp_path / "job.toml"
    file.write_text(
        'prompt = "p.txt"\nqueries = "q.txt"\nlimit = 5\nseed = 3\nlabels = ["a", "b"]\n'
        '[backend-options]\nchunk-size = 4\ndtype = "float32"\n[backend-options.teacher]\ndevice = "cpu"\n'
    )
    config = config_of_flags(
        {
            "config": str(file),
            "limit": 7,
            "backend_options": ("dtype=float16", "student.x=1"),
            "force": False,
            "stop": (),
        }
    )
    assert (config.prompt, config.limit, config.seed, config.labels) == (tmp_path / "p.txt", 7, 3, ("a", "b"))
    assert config.backend_options == {"chunk_size": 4, "dtype": "float16", "teacher.device": "cpu", "student.x": "1"}


def test_invalid_file_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "job.toml"
    file.write_text('task = "langid"\nbackend-options = "x"\n')
    with pytest.raises(UsageError, match=r"not a table; write \[backend-options\]"):
        config_of_flags({"config": str(file)})
    file.write_text("lmit = 3\n")
    with pytest.raises(UsageError, match="did you mean 'limit'"):
        config_of_flags({"config": str(file)})


def test_from_takes_a_run_by_path_or_name(finished: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert config_of_flags({"task": "langid", "from_run": str(finished)}).from_run == finished
    (tmp_path / "runs" / "first").mkdir(parents=True)
    (tmp_path / "runs" / "first" / "run.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    assert config_of_flags({"task": "langid", "from_run": "first"}).from_run == Path("runs/first")
    with pytest.raises(UsageError, match="unknown run .frist., did you mean .first."):
        config_of_flags({"task": "langid", "from_run": "frist"})


@pytest.mark.parametrize(
    ("args", "part"),
    [
        (["--task", "langdi"], "did you mean 'langid'?"),
        (["--task", "langid", "--backend", "fkae"], "did you mean 'fake'?"),
        (["--task", "langid", "--backend", "fake", "-B", "latncy=1"], "did you mean 'latency'?"),
        (["--task", "langid", "-B", "latency"], "-B 'latency' is not of the form KEY=VALUE"),
        (["--task", "langid", "--backend", "fake", "--queries", "none.txt"], "can't read 'none.txt'"),
        (["--task", "langid", "--objective", "soft"], "'soft' is not 'hard'"),
        (["--task", "langid", "--limit", "0"], "0 is not in the range 1<=x<="),
        ([], "no task given"),
    ],
)
def test_usage_error_is_one_line_and_exit_code_2(
    call: Callable[..., Result], args: list[str], part: str, tmp_path: Path
) -> None:
    result = call("run", *args, "--run-dir", tmp_path / "run")
    assert result.exit_code == 2
    assert part in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()
