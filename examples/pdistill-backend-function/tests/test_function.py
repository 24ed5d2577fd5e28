"""The backend keeps its promises, errors say what is wrong, and rules are distilled into a student."""

from pathlib import Path

import pytest
from pdistill_backend_function import FunctionBackend, Options

from pdistill import Config, PdistillError, read_queries, run
from pdistill.testing import check_backend, teacher_checks

RULES = f"{Path(__file__).parent / 'rules.py'}:answer"
CHECKS = [check for check in teacher_checks() if check != "draws_as_asked"]  # rules are deterministic


@pytest.mark.parametrize("check", CHECKS)
def test_backend_passes_the_checks(check: str, tmp_path: Path) -> None:
    """Each check is a test of its own, so that a failure says which."""
    check_backend(
        FunctionBackend(Options(workers=3)), check, teacher_model=RULES, student_model="none", directory=tmp_path
    )


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("rules.py", "'rules.py' is no function of a file; name it as FILE.py:FUNCTION"),
        (RULES.replace("answer", "anser"), "has no function 'anser'; it has answer, broken"),
        (RULES.replace("answer", "broken"), r"function '.*' failed on 'thing number 0 .*: ValueError: out of rules"),
    ],
)
def test_what_cant_be_is_told(model: str, message: str, run_directory: Path, tmp_path: Path) -> None:
    """One line names the function and what is wrong with it."""
    with pytest.raises(PdistillError, match=message):
        run(config(model, run_directory, tmp_path))


def test_rules_are_distilled_into_a_student(run_directory: Path, tmp_path: Path) -> None:
    """The student learns what the rules say; a query that no rule matches is rejected and counted."""
    report = run(config(RULES, run_directory, tmp_path))
    arms = report["arms"]
    assert report["rejections"] == {"the backend gave no answer": 6}
    assert arms["teacher"]["agreement"]["value"] == 1
    assert arms["student"]["agreement"]["low"] > arms["base"]["agreement"]["high"]


def config(model: str, run_directory: Path, folder: Path) -> Config:
    """Return the options of a run: a function as the teacher, the fake backend's student."""
    from rules import WORDS

    words = [word for known in WORDS.values() for word in known] + ["cloud"]
    (folder / "prompt.txt").write_text("What is the text about? Answer with one word: animal, plant or tool.")
    lines = [f"thing number {number} is a {word}" for number in range(6) for word in words]
    (folder / "queries.txt").write_text("\n".join(lines))
    assert len(list(read_queries(folder / "queries.txt"))) == 6 * len(words)
    return Config(
        prompt=folder / "prompt.txt",
        queries=folder / "queries.txt",
        labels=tuple(WORDS),
        teacher=f"function:{model}",
        student="fake:rule",
        run_dir=run_directory,
    )
