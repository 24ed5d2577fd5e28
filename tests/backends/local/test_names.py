"""Names of models: a mistyped one is told before torch is imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pdistill.backends.local import names
from pdistill.backends.local.names import check_name
from pdistill.core.errors import BackendError

MISTYPED = """
import atexit, sys
from pdistill.cli.main import main
from pdistill.backends.local import names
names.hub_is_resolvable = lambda: False
atexit.register(lambda: print("torch" in sys.modules))
sys.argv = ["pdistill", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("smolm2", "there is no model 'smolm2', did you mean 'smollm2'\\? it is not a directory"),
        ("builtn", "there is no model 'builtn', did you mean 'builtin'\\? it is not a directory"),
        ("someone/model", "there is no model 'someone/model': it is not a directory"),
        ("qwen3:0.6b", "there is no model 'qwen3:0.6b': it is not a directory"),
        ("none.gguf", "there is no model file 'none.gguf'"),
        ("empty", "'empty' is not a model directory: it has no config.json"),
        ("./none", "there is no model directory './none'"),
        ("", "there is no model directory ''"),
    ],
)
def test_a_name_that_is_not_that_of_a_model(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(names, "hub_is_resolvable", lambda: False)
    with pytest.raises(BackendError, match=message):
        check_name(name)


def test_what_the_hub_may_have_is_left_to_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "hub_is_resolvable", lambda: True)
    check_name("someone/model")
    check_name("builtin")


def test_a_mistyped_teacher_is_told_before_torch_is_imported(tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_text("Say yes.")
    (tmp_path / "queries.txt").write_text("a\nb\n")
    args = ["run", "--prompt", "prompt.txt", "--queries", "queries.txt", "--teacher", "smolm2"]
    done = subprocess.run(
        [sys.executable, "-c", MISTYPED, *args],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "False\n")
    assert "there is no model 'smolm2', did you mean 'smollm2'?" in done.stderr
