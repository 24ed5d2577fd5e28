"""What a run holds out: a share, a number or a file of the user's, and on which side the queries of an earlier run stay."""

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pdistill.cli.main import pdistill
from pdistill.core import pipeline
from pdistill.core.contract.targets import NEAR_HELD_OUT
from pdistill.core.errors import RunError, UsageError
from pdistill.core.setup.config import Config
from pdistill.core.store.rows import read_rows
from pdistill.core.store.rundir import RunDirectory
from tests.runs import fake_config


def words(count: int, seed: int = 0) -> list[str]:
    """Return texts that are unlike each other."""
    chance = random.Random(seed)
    return ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=30)) for _ in range(count)]


def written(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"query": text, "reference": "animal"}) + "\n" for text in texts))
    return path


def job(folder: Path, name: str, texts: list[str], **options: Any) -> Config:
    config = fake_config(folder, folder / name, **options)
    return replace(config, queries=written(folder / f"{name}.jsonl", texts))


def sides(run: RunDirectory) -> dict[str, str]:
    """Return the side of each query by its text."""
    examples = [row["split"] for row in read_rows(run.examples)]
    return dict(zip((row["query"] for row in read_rows(run.queries)), examples, strict=True))


def held_out(run: RunDirectory) -> set[str]:
    return {text for text, side in sides(run).items() if side == "eval"}


@pytest.mark.parametrize(("given", "expected"), [(None, 8), (0.5, 20), (3, 3), (0.01, 1)])
def test_a_share_or_a_number_is_held_out(tmp_path: Path, given: float | None, expected: int) -> None:
    assert len(held_out(pipeline.generate(job(tmp_path, "run", words(40), held_out=given)))) == expected


def test_a_file_is_held_out_and_nothing_else_is(tmp_path: Path) -> None:
    own, others = words(6, seed=1), words(20)
    held = written(tmp_path / "held.jsonl", own)
    report = pipeline.run(job(tmp_path, "run", [*others, f"{own[0]}.", *words(5, seed=2)], held_out=held, limit=21))
    run = RunDirectory(tmp_path / "run")
    assert held_out(run) == set(own)
    assert set(sides(run)) == {*own, *others, f"{own[0]}."}
    assert (report["n"]["train"], report["n"]["eval"]) == (20, 6)
    assert report["rejections"] == {NEAR_HELD_OUT.reason: 1}


def test_another_split_is_another_run(tmp_path: Path) -> None:
    config = job(tmp_path, "run", words(20), held_out=4)
    pipeline.generate(config)
    pipeline.generate(config)
    for other in (None, 0.3, written(tmp_path / "held.jsonl", words(4, seed=1))):
        with pytest.raises(RunError, match="made with other options: .*another --held-out"):
            pipeline.generate(replace(config, held_out=other))


def test_queries_stay_on_the_side_that_they_had_in_the_run_of_from(tmp_path: Path) -> None:
    texts = words(100)
    first = pipeline.generate(job(tmp_path, "first", texts[:80]))
    config = job(tmp_path, "second", [*texts[80:], *texts[:80]], from_run=first.path)
    second = pipeline.generate(config)
    assert {text: sides(second)[text] for text in texts[:80]} == sides(first)
    assert len(held_out(second)) == 20
    pipeline.generate(replace(config, from_run=None))  # goes on with what was decided
    anew = pipeline.generate(job(tmp_path, "third", texts, from_run=first.path, held_out=0.1))
    assert len(held_out(anew)) == 10


def test_a_warm_student_is_not_evaluated_on_what_it_was_trained_on(tmp_path: Path) -> None:
    texts = words(40)
    pipeline.run(job(tmp_path, "first", texts))
    first = RunDirectory(tmp_path / "first")
    warm = {"from_run": first.path, "warm_start": True}
    more = pipeline.generate(job(tmp_path, "more", texts + words(20, seed=1), held_out=0.5, **warm))
    assert not held_out(more) & (set(texts) - held_out(first))
    trained = next(text for text in texts if text not in held_out(first))
    held = written(tmp_path / "held.jsonl", [trained])
    with pytest.raises(UsageError, match="'0' of '.*held.jsonl' was trained on in '.*first'.* leave --warm-start out"):
        pipeline.generate(job(tmp_path, "other", words(20, seed=1), held_out=held, **warm))


def test_the_number_or_the_file_may_be_in_a_configuration_file(tmp_path: Path) -> None:
    config = job(tmp_path, "run", words(20))
    folder = tmp_path / "settings"
    folder.mkdir()
    written(folder / "held.jsonl", words(3, seed=1))
    for name, value, expected in (("number", "7", 7), ("share", "0.1", 2), ("file", '"held.jsonl"', 3)):
        file = folder / f"{name}.toml"
        file.write_text(
            f'prompt = "{config.prompt}"\nqueries = "{config.queries}"\nbackend = "fake"\nheld-out = {value}\n'
        )
        result = CliRunner().invoke(pdistill, ["generate", "--config", str(file), "--run-dir", str(tmp_path / name)])
        assert result.exit_code == 0, result.stderr
        assert len(held_out(RunDirectory(tmp_path / name))) == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("0", "invalid value 0 for --held-out: must be a number of queries, a share between 0 and 1, or a file"),
        ("1.5", "invalid value 1.5 for --held-out"),
        ("-3", "invalid value -3 for --held-out"),
        ("nan", "invalid value nan for --held-out"),
        ("20", "--held-out 20 leaves no query to train on: there are 20"),
        ("none.jsonl", "can't read 'none.jsonl'"),
        ("none", "can't read queries from 'none': its name must end in"),
    ],
)
def test_what_can_not_be_held_out_is_said(tmp_path: Path, value: str, message: str) -> None:
    config = job(tmp_path, "run", words(20))
    job_of = ["--prompt", str(config.prompt), "--queries", str(config.queries), "--backend", "fake"]
    result = CliRunner().invoke(pdistill, ["run", *job_of, "--run-dir", str(config.run_dir), "--held-out", value])
    assert result.exit_code == 2
    assert message in result.stderr
    assert not config.directory.exists()
