"""What a run directory is trusted with: sealed files are checked before they are read, and no name leads out of the run."""

import json
from pathlib import Path

import pytest

from pdistill.core import pipeline
from pdistill.core.errors import RunError, UsageError
from pdistill.core.setup.config import Config
from pdistill.core.setup.opened_run import reopen
from pdistill.core.stages.train import CHECKPOINTS
from pdistill.core.store.rundir import RunDirectory
from tests.runs import contents, fake_config

SEALED = (
    "queries.jsonl",
    "responses.jsonl",
    "examples.jsonl",
    "metrics.jsonl",
    "probes.jsonl",
    "probes-leakage-student.jsonl",
    "preflight-base.jsonl",
    "predictions-student.jsonl",
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Config:
    folder = tmp_path_factory.mktemp("trust")
    config = fake_config(folder, folder / "run")
    pipeline.run(config)
    return config


@pytest.fixture
def run(finished: Config, tmp_path: Path) -> RunDirectory:
    """Return a copy of a finished run without its report."""
    for name, content in contents(finished.directory, without={"report.json"}).items():
        path = tmp_path / "run" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return RunDirectory(tmp_path / "run")


@pytest.mark.parametrize("name", SEALED)
def test_a_sealed_file_that_was_edited_or_removed_is_an_error(run: RunDirectory, name: str) -> None:
    path = run.path / name
    before = path.read_bytes()
    path.write_bytes(before.replace(b"a", b"o", 1))
    with pytest.raises(RunError, match=f"{name}' was changed after it was complete"):
        pipeline.report(run)
    path.unlink()
    with pytest.raises(RunError, match=f"{name}' is missing|is not evaluated yet"):
        pipeline.report(run)
    path.write_bytes(before)
    assert pipeline.report(run)["schema"] == 1


@pytest.mark.parametrize("name", ["predictions-student.jsonl", "probes-leakage-student.jsonl"])
def test_an_answer_that_is_missing_from_a_file_that_was_sealed_again_is_told(run: RunDirectory, name: str) -> None:
    path = run.path / name
    rows = path.read_bytes().splitlines(keepends=True)
    for kept, message in ((rows[:-1], "in its place|the same number of rows"), (rows[1:], "in its place")):
        path.write_bytes(b"".join(kept))
        run.seal(path)
        with pytest.raises(RunError, match=f"{name}' .*{message}"):
            pipeline.report(run)


def test_missing_seals_are_an_error(run: RunDirectory) -> None:
    seals = run.path / "seals.jsonl"
    lines = seals.read_text().splitlines(keepends=True)
    seals.write_text("".join(line for line in lines if "metrics" not in line))
    with pytest.raises(RunError, match=r"seals.jsonl has no hash of metrics.jsonl"):
        pipeline.report(run)
    seals.unlink()
    with pytest.raises(RunError, match=r"seals.jsonl has no hash of queries.jsonl"):
        reopen(run)


def test_probes_that_vanish_with_their_seals_are_missed(run: RunDirectory) -> None:
    seals = run.path / "seals.jsonl"
    for path in run.path.glob("probes*"):
        path.unlink()
    seals.write_text("".join(line for line in seals.read_text().splitlines(keepends=True) if "probes" not in line))
    with pytest.raises(RunError, match=r"probes.jsonl' is missing"):
        pipeline.report(run)


@pytest.mark.parametrize("uri", ["../victim.txt", "checkpoints/../../victim.txt", "{victim}", ""])
def test_a_checkpoint_outside_of_the_run_is_neither_read_nor_deleted(run: RunDirectory, uri: str) -> None:
    victim = run.path.parent / "victim.txt"
    victim.write_text("mine")
    rows = [{"step": step, "state": uri.format(victim=victim)} for step in (1, 2)]
    (run.path / CHECKPOINTS).write_text("".join(json.dumps(row) + "\n" for row in rows))
    for path in (run.adapter / "adapter_weights.json", run.adapter / "adapter_config.json"):
        path.unlink(missing_ok=True)
    run.adapter.rename(run.path / "gone")
    with pytest.raises(RunError, match="which is not in the run"):
        pipeline.train(run, {})
    assert victim.read_text() == "mine"


def test_a_seal_outside_of_the_run_is_refused(run: RunDirectory) -> None:
    with (run.path / "seals.jsonl").open("a") as seals:
        seals.write('{"file": "../victim.txt", "sha256": "0"}\n')
    with pytest.raises(RunError, match="names '../victim.txt', which is not in the run"):
        pipeline.report(run)


@pytest.mark.parametrize("name", ["queries.jsonl", "notes/a.txt", "adapter/adapter_config.json"])
def test_a_directory_with_something_else_in_it_is_left_alone(finished: Config, tmp_path: Path, name: str) -> None:
    own = tmp_path / "work" / name
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    config = fake_config(tmp_path, tmp_path / "work")
    first = name.partition("/")[0]
    with pytest.raises(UsageError, match=f"'{tmp_path / 'work'}' is not empty and holds no run .there is '{first}'."):
        pipeline.run(config)
    assert contents(tmp_path / "work") == {name: b"mine"}


def test_an_empty_directory_and_what_a_kill_left_are_taken(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "run.json.part").write_text("{")
    assert pipeline.run(fake_config(tmp_path, tmp_path / "empty"))["schema"] == 1


def test_a_file_in_place_of_a_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RunError, match="can't use '.*': not a directory"):
        pipeline.run(fake_config(tmp_path, tmp_path / "file"))


def test_no_name_leads_out_of_runs(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gives the run no name; give --run-dir"):
        _ = Config(prompt=tmp_path / "...txt", queries=tmp_path / "queries.jsonl").directory
