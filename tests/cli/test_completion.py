from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from pdistill.cli.main import pdistill


def offered(*words: str) -> list[str]:
    *before, incomplete = words
    complete = ShellComplete(pdistill, {}, "pdistill", "_PDISTILL_COMPLETE")
    return [item.value for item in complete.get_completions(before, incomplete)]


def test_commands_and_options_are_completed() -> None:
    assert offered("t") == ["train", "tasks"]
    assert "--task" in offered("run", "--ta")
    assert offered("run", "--objective", "") == ["hard"]


def test_tasks_and_backends_are_completed() -> None:
    assert offered("run", "--task", "lang") == ["langid"]
    assert offered("tasks", "") == ["langid"]
    assert {"fake", "local"} <= set(offered("generate", "--backend", ""))


@pytest.mark.parametrize("command", ["train", "evaluate", "report", "sample"])
def test_runs_are_completed(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "other", "bad\nname", "$(touch x)", "`x`", "*", "a b", "one;x", "-one", "o'ne"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "run.json").touch()
    (tmp_path / "runs" / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    assert offered(command, "") == ["one", "other"]
    assert offered(command, "ot") == ["other"]
    assert offered("run", "--from", "on") == ["one"]
