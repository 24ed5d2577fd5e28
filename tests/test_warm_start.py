"""Training that starts from an earlier run's student: the run keeps what it needs, and held-out queries are unseen."""

import shutil
from pathlib import Path

import pytest

from pdistill.core import pipeline
from pdistill.core.errors import RunError, UsageError
from pdistill.core.store.rows import read_rows
from pdistill.core.store.rundir import RunDirectory
from tests.runs import contents, fake_config


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    config = fake_config(tmp_path, tmp_path / "earlier")
    pipeline.run(config)
    return config.directory


def first_loss(run_dir: Path) -> float:
    return float(next(iter(read_rows(run_dir / "metrics.jsonl")))["loss"])


def test_the_training_begins_where_the_other_ended(tmp_path: Path, earlier: Path) -> None:
    warm = fake_config(tmp_path, tmp_path / "warm", from_run=earlier, warm_start=True)
    anew = fake_config(tmp_path, tmp_path / "anew", from_run=earlier)
    for config in (warm, anew):
        pipeline.run(config)
    assert first_loss(anew.directory) == first_loss(earlier)
    assert first_loss(warm.directory) < first_loss(earlier) / 2
    assert contents(warm.directory / "start") == contents(earlier / "adapter")


def test_started_run_no_longer_needs_the_other(tmp_path: Path, earlier: Path) -> None:
    whole = fake_config(tmp_path, tmp_path / "whole", from_run=earlier, warm_start=True)
    pipeline.run(whole)
    begun = fake_config(tmp_path, tmp_path / "begun", from_run=earlier, warm_start=True)
    pipeline.generate(begun)
    shutil.rmtree(earlier)
    pipeline.train(RunDirectory(begun.directory), {})
    for name in ("metrics.jsonl", "examples.jsonl"):
        assert (begun.directory / name).read_bytes() == (whole.directory / name).read_bytes()
    assert contents(begun.directory / "adapter") == contents(whole.directory / "adapter")


def test_a_student_that_may_have_seen_what_is_held_out_is_refused(tmp_path: Path, earlier: Path) -> None:
    config = fake_config(tmp_path, tmp_path / "other", from_run=earlier, warm_start=True, seed=1)
    with pytest.raises(RunError, match=r"trained with --seed 0, so it may have seen .*; give --seed 0, or leave"):
        pipeline.run(config)
    assert not (tmp_path / "other").exists()


def test_it_needs_a_run_with_a_student(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="name it with --from RUN"):
        pipeline.run(fake_config(tmp_path, tmp_path / "run", warm_start=True))
    pipeline.generate(fake_config(tmp_path, tmp_path / "untrained"))
    with pytest.raises(RunError, match="is not trained yet; continue with pdistill train"):
        pipeline.run(fake_config(tmp_path, tmp_path / "run", from_run=tmp_path / "untrained", warm_start=True))
