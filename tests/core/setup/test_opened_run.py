from pathlib import Path

import pytest

from pdistill.core.contract.prompts import Message, Messages
from pdistill.core.contract.task import FileTask
from pdistill.core.errors import RunError, UsageError
from pdistill.core.setup.opened_run import reopen
from pdistill.core.store.rundir import RunDirectory
from pdistill.core.store.settings import GenerateSettings
from tests.run_builder import LABELS, PROMPT, build_run, outcomes

ROWS = outcomes((f"query {at}" for at in range(20)), reference="animal", slices=("all",))


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return build_run(tmp_path / "run", ROWS, until="opened", seed=7, backend_options={"chunk": "4"}, student="echo")


def test_a_run_is_opened_from_its_directory_alone(run: RunDirectory) -> None:
    opened = reopen(run)
    assert not (run.path.parent / "prompt.txt").exists()
    assert (opened.config.seed, opened.config.labels, opened.config.directory) == (7, LABELS, run.path)
    assert opened.settings == run.settings(GenerateSettings)
    assert isinstance(opened.task, FileTask)
    assert opened.task.prompt == PROMPT
    query = ROWS[3].query
    assert opened.task.teacher_prompt(query) == Messages((Message("system", PROMPT), Message("user", query.text)))
    for _ in range(2):
        assert list(opened.queries()) == [row.query for row in ROWS]


def test_some_queries_are_picked_and_none_after_them_is_read(run: RunDirectory) -> None:
    lines = run.queries.read_bytes().splitlines(keepends=True)
    run.queries.write_bytes(b"".join(lines[:12]) + b"damaged\n")
    run.seal(run.queries)
    opened = reopen(run)
    assert [query.number for query in opened.picked([2, 5, 11])] == [2, 5, 11]
    with pytest.raises(RunError, match=r"queries\.jsonl, line 13: not a row"):
        list(opened.picked([2, 12]))


def test_its_models_are_those_of_its_settings(run: RunDirectory) -> None:
    opened = reopen(run)
    models = opened.models()
    assert (models.teacher.id, models.student.id) == ("fake:rule", "fake:echo")
    assert models.teacher.spec.options == {"chunk": "4"}
    assert opened.models("fake:rule").student.id == "fake:rule"
    assert opened.models(resolved={"teacher": {}}).same_model is False


def test_options_that_change_no_row_may_be_given_now(run: RunDirectory) -> None:
    assert reopen(run, {"latency": "0.5"}).config.backend_options == {"chunk": "4", "latency": "0.5"}
    with pytest.raises(RunError, match="only options that do not change any row can be changed now"):
        reopen(run, {"chunk": "5"})
    with pytest.raises(UsageError, match="unknown option of backend fake"):
        reopen(run, {"chnk": "5"})


def test_what_is_not_a_run_or_was_edited_is_refused(run: RunDirectory, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is no run in"):
        reopen(RunDirectory(tmp_path / "nothing"))
    (run.path / "prompt.txt").write_text("another")
    with pytest.raises(RunError, match="prompt.txt' was changed after the run began"):
        reopen(run)
    (run.path / "generate.json").unlink()
    with pytest.raises(RunError, match="has not reached that stage"):
        reopen(run)
