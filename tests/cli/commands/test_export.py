from pathlib import Path

from tests.cli.conftest import Call


def test_a_fake_student_stays(call: Call, finished: Path, tmp_path: Path) -> None:
    said = call("export", finished, tmp_path / "out")
    assert said.exit_code == 1
    assert "can't export" in said.stderr
