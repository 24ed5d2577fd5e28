"""The student of a whole run leaves by the command line."""

import json
from pathlib import Path

from click.testing import CliRunner, Result

from pdistill.cli.main import pdistill
from tests.backends.local_runs import run_student


def call(*args: object) -> Result:
    return CliRunner().invoke(pdistill, [str(arg) for arg in args])


def test_the_student_leaves_as_a_directory(tmp_path: Path) -> None:
    run = run_student(tmp_path / "job", "llama", "{query}").directory.path
    said = call("export", run, tmp_path / "adapter")
    assert said.exit_code == 0, said.stderr
    assert "held-out answers of the evaluated student were reproduced" in said.stdout
    assert {"adapter_config.json", "README.md", "tokenizer.json"} <= {p.name for p in (tmp_path / "adapter").iterdir()}
    said = call("export", run, tmp_path / "merged", "--merge", "--json")
    row = json.loads(said.stdout)
    assert row["queries"] == row["equal"] > 0
    assert (row["directory"], row["merged"]) == (str(tmp_path / "merged"), True)
    said = call("export", run, tmp_path / "merged")
    assert (said.exit_code, said.stderr.count("\n")) == (2, 1)
