import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pdistill.core.errors import UsageError
from pdistill.core.setup.newtask import check_name, write_package

MOST_LINES = 35  # of the module: all that a person has to read


def test_the_package_is_named_for_the_task(tmp_path: Path) -> None:
    place, paths = write_package("bike-mail", tmp_path / "new" / "deep")
    assert sorted(str(path.relative_to(place)) for path in paths) == [
        "README.md",
        "pyproject.toml",
        "src/pdistill_task_bike_mail/__init__.py",
        "src/pdistill_task_bike_mail/prompt.txt",
        "src/pdistill_task_bike_mail/queries.jsonl",
        "tests/test_bike_mail.py",
    ]
    project = tomllib.loads((place / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pdistill"] == {"bike-mail": "pdistill_task_bike_mail"}
    assert not any("{{" in path.read_text("utf-8") for path in paths)


def test_its_module_is_short_and_has_one_place_to_edit(tmp_path: Path) -> None:
    place, _ = write_package("units", tmp_path / "units")
    module = (place / "src" / "pdistill_task_units" / "__init__.py").read_text()
    assert len(module.splitlines()) <= MOST_LINES
    assert module.count("EDIT HERE") == 1


def test_default_directory_has_the_name_of_the_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert write_package("units")[0] == Path("pdistill-task-units")
    assert (tmp_path / "pdistill-task-units" / "pyproject.toml").exists()


def test_its_code_keeps_the_rules_of_this_project(tmp_path: Path) -> None:
    place, _ = write_package("bike-mail", tmp_path / "package")
    rules = Path(__file__).parents[3] / "pyproject.toml"
    for check in (("check",), ("format", "--check")):
        command = [sys.executable, "-m", "ruff", *check, "--config", str(rules), "--no-cache", str(place)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("name", "near"),
    [("Bike_Mail", "bike-mail"), ("2 units", "units"), ("a--b", "a-b"), ("ÄÖ", None), ("", None), ("x-", "x")],
)
def test_an_invalid_name(name: str, near: str | None) -> None:
    with pytest.raises(UsageError, match="invalid task name") as refused:
        check_name(name)
    assert (f"did you mean '{near}'?" in str(refused.value)) == (near is not None)


def test_a_name_that_is_taken() -> None:
    with pytest.raises(UsageError, match="there already is a task 'langid', from plugin langid; choose another name"):
        check_name("langid")


@pytest.mark.parametrize(("there", "said"), [("file", "is a file"), ("folder/inside", "is not empty")])
def test_directory_in_use(there: str, said: str, tmp_path: Path) -> None:
    (tmp_path / there).parent.mkdir(exist_ok=True)
    (tmp_path / there).write_text("mine")
    place = tmp_path / there.partition("/")[0]
    with pytest.raises(UsageError, match=f"'.*' {said}; name another directory: pdistill new-task units DIR"):
        write_package("units", place)
    assert (tmp_path / there).read_text() == "mine"
