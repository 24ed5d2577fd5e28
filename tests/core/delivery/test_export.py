from pathlib import Path

import pytest

from pdistill.core.delivery.export import export
from pdistill.core.errors import BackendError, RunError, UsageError
from pdistill.core.store.rundir import RunDirectory
from tests.run_builder import build_run, outcomes

ROWS = outcomes(f"query {at}" for at in range(20))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return build_run(tmp_path_factory.mktemp("export") / "run", ROWS)


def test_a_backend_without_exports_says_so(run: RunDirectory, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="the backend of student 'rule' can't export"):
        export(run, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_nonempty_directory_is_left_alone(run: RunDirectory, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    for place in (tmp_path, tmp_path / "mine.txt"):
        with pytest.raises(UsageError, match="already exists; name a new directory"):
            export(run, place)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_student_that_was_not_evaluated_is_not_exported(tmp_path: Path) -> None:
    directory = build_run(tmp_path / "run", ROWS, until="train")
    with pytest.raises(RunError, match="is not evaluated yet; continue with pdistill evaluate"):
        export(directory, tmp_path / "out")
