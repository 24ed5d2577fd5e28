from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Call = Callable[..., Result]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_says_what_it_wrote_and_what_comes_next(call: Call, place: Path) -> None:
    said = call("new-task", "bike-mail", "my folder").stdout
    assert said.startswith("6 files in my folder:\n  pyproject.toml\n")
    assert "  pip install --editable 'my folder[dev]'\n" in said
    assert "  pdistill run --task bike-mail --backend fake\n" in said
    assert (place / "my folder" / "src" / "pdistill_task_bike_mail" / "prompt.txt").exists()


@pytest.mark.parametrize("args", [("Bike Mail",), ("langid",), ("units", "full")])
def test_mistake_is_one_line_and_writes_nothing(args: tuple[str, ...], call: Call, place: Path) -> None:
    (place / "full").mkdir()
    (place / "full" / "mine.txt").write_text("mine")
    before = sorted(place.rglob("*"))
    done = call("new-task", *args)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert sorted(place.rglob("*")) == before


def test_control_characters_in_a_directory_are_shown_as_escapes(call: Call) -> None:
    assert "\x1b" not in call("new-task", "units", "bad\x1b[31mname").output
