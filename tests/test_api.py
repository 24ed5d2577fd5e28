"""The public API works as documented, with strings for paths as in a notebook."""

import inspect
from collections.abc import Callable
from pathlib import Path
from runpy import run_path

import pytest

import pdistill
from pdistill import Config, PdistillError, Query, find_run, open_arm, preview, run, showing
from tests.runs import write_task

DOCS = Path(__file__).parents[1] / "docs"


def test_the_page_is_what_the_docstrings_say() -> None:
    generated = run_path(str(DOCS / "generate_api.py"))
    assert generated["PAGE"].read_text("utf-8") == generated["page"](), "run: python docs/generate_api.py"


def test_every_public_name_has_its_heading_and_a_docstring() -> None:
    text = (DOCS / "reference" / "python-api.md").read_text("utf-8")
    assert [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")] == pdistill.__all__
    documented = [getattr(pdistill, name) for name in pdistill.__all__]
    assert all(inspect.getdoc(value) for value in documented if inspect.isclass(value) or inspect.isfunction(value))


def test_every_public_name_is_imported_for_type_checkers_too() -> None:
    source = inspect.getsource(pdistill).partition("if TYPE_CHECKING:")[2].partition("__all__")[0]
    imported = {
        name.strip() for line in source.splitlines() if "import" in line for name in line.split("import")[1].split(",")
    }
    assert imported == set(pdistill.__all__) == {name for names in pdistill._MODULES.values() for name in names}


def test_the_whole_job_with_texts_for_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_task(tmp_path)
    given: dict[str, object] = {
        "prompt": "prompt.txt",
        "queries": "queries.jsonl",
        "labels": ["animal", "fruit", "other"],
    }
    config = Config(**given, backend="fake")  # type: ignore[arg-type]
    assert preview(config).settings["count"] == 30
    with showing() as progress:
        report = run(config, progress)
    assert report["arms"]["student"]["agreement"]["n"] == report["n"]["eval"]
    assert "student: " in capsys.readouterr().err
    with open_arm(find_run("prompt")) as student:
        (answer,) = student.answer([Query("foxes dig on hill 7")])
    assert answer.text in ("animal", "fruit", "other")


def test_by_default_nothing_is_printed(run_directory: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(Config(task="langid", limit=60, backend="fake", run_dir=run_directory))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "call", [lambda: Config(), lambda: find_run("nowhere"), lambda: pdistill.generate(Config(task="x"))]
)
def test_user_errors_are_one_line(call: Callable[[], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PdistillError) as failure:
        call()
    assert "\n" not in str(failure.value)
