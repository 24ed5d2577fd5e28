import json
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

from tests.cli.colours import build_colours

Call = Callable[..., Result]


def test_judge_is_asked_and_its_verdicts_are_shown(call: Call, files: Path, tmp_path: Path) -> None:
    run, prompt = build_colours(tmp_path / "run", files).path, tmp_path / "judge.txt"
    prompt.write_text("Which answer is the better one? {prompt}\n")
    options = ("--judge", "fake:rule", "-B", "answers=A,B,SAME", "--judge-prompt", prompt)
    result = call("judge", run, *options)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("Judged by fake:rule, each pair of answers in both orders:\n")
    found = json.loads(call("judge", run, *options, "--json").stdout)
    assert found == json.loads(call("report", run, "--json").stdout)["judge"]
    assert result.stdout.splitlines()[1] in " ".join(call("report", run).stdout.split("\n")).replace("  ", " ")


def test_a_mistake_is_one_line(call: Call, finished: Path) -> None:
    result = call("judge", finished, "--judge", "fake:rul")
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert "has no model 'rul', did you mean 'rule'?" in result.stderr
    assert call("judge", finished).exit_code == 2
    assert not (finished / "judge.json").exists()
