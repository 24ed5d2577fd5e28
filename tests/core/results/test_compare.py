"""Two runs of one task on the fake backend, side by side."""

from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from pdistill.core import pipeline
from pdistill.core.errors import RunError, UsageError
from pdistill.core.results.compare import compare
from pdistill.core.setup.config import Config
from pdistill.core.store.rows import read_rows
from pdistill.core.store.rundir import RunDirectory
from tests.runs import fake_config, write_task

LINES = [f"{['kind', 'soft', 'new'][at % 3]} {sha256(bytes([at])).hexdigest()}" for at in range(150)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, RunDirectory, RunDirectory]:
    """Return the options of a run whose student is poor, that run, and one with a steadier teacher and fewer queries."""
    folder = tmp_path_factory.mktemp("compare")
    config = fake_config(folder, folder / "a", temperature=3.0)
    write_task(folder, LINES)
    pipeline.run(config)
    other = replace(config, run_dir=folder / "b", temperature=1.0, rank=16, limit=120)
    pipeline.run(other)
    return config, RunDirectory(config.directory), RunDirectory(other.directory)


@pytest.fixture(scope="module")
def compared(runs: tuple[Config, RunDirectory, RunDirectory]) -> dict[str, Any]:
    return asdict(compare(*runs[1:]))


def held_out(run: RunDirectory) -> dict[str, str]:
    return {row["id"]: row["target"] for row in read_rows(run.examples) if row["split"] == "eval"}


def answers(run: RunDirectory) -> dict[str, str]:
    return {row["id"]: row["response"] for row in read_rows(run.predictions("student").path)}


def test_only_what_both_held_out_is_compared(
    runs: tuple[Config, RunDirectory, RunDirectory], compared: dict[str, Any]
) -> None:
    a, b = (held_out(run) for run in runs[1:])
    shared = a.keys() & b.keys()
    assert compared["held_out"] == {"a": len(a), "b": len(b), "shared": len(shared)}
    assert len(shared) < len(a)
    for side, (targets, run) in {"a": (a, runs[1]), "b": (b, runs[2])}.items():
        right = [answers(run)[name] == targets[name] for name in shared]
        figure = compared["arms"]["student"]["agreement"][side]
        assert (figure["n"], figure["value"]) == (len(shared), pytest.approx(sum(right) / len(right), abs=1e-6))
    assert compared["targets_differ"] == sum(a[name] != b[name] for name in shared)


def test_differences_are_second_minus_first(compared: dict[str, Any]) -> None:
    for figures in compared["arms"].values():
        for by in ("agreement", "accuracy"):
            gain = figures[by]["difference"]
            assert gain["value"] == pytest.approx(figures[by]["b"]["value"] - figures[by]["a"]["value"], abs=2e-6)
            assert gain["low"] <= gain["value"] <= gain["high"]
    assert compared["arms"]["student"]["agreement"]["difference"]["value"] > 0


def test_changed_answers_are_those_of_the_predictions(
    runs: tuple[Config, RunDirectory, RunDirectory], compared: dict[str, Any]
) -> None:
    a, b = (answers(run) for run in runs[1:])
    differing = {name for name in a.keys() & b.keys() if a[name] != b[name]}
    assert differing
    assert {row["id"] for row in compared["changed"]["rows"]} == differing
    assert sum(found["changed"] for found in compared["slices"].values()) == compared["changed"]["n"] == len(differing)
    gains = [row["b"]["agreement"] - row["a"]["agreement"] for row in compared["changed"]["rows"]]
    assert gains == sorted(gains)


def test_what_differs_in_the_options_is_named(compared: dict[str, Any]) -> None:
    options = {row["name"]: (row["a"], row["b"]) for row in compared["options"]}
    assert options["temperature"] == (3.0, 1.0)
    assert options["rank"] == (32, 16)
    assert options["limit"] == (None, 120)
    assert options["queries"] == (150, 120)
    assert "seed" not in options


def test_queries_are_known_by_their_text_and_not_by_their_number(
    runs: tuple[Config, RunDirectory, RunDirectory], tmp_path: Path
) -> None:
    _, queries = write_task(tmp_path, LINES[30:])
    moved = replace(runs[0], queries=queries, run_dir=tmp_path / "moved")
    pipeline.run(moved)
    a, b = (
        {row["query"] for row in read_rows(run / "predictions-student.jsonl")}
        for run in (runs[1].path, moved.directory)
    )
    assert a & b
    assert compare(runs[1], RunDirectory(moved.directory)).held_out.shared == len(a & b)


def test_runs_that_cannot_be_compared_are_refused(
    runs: tuple[Config, RunDirectory, RunDirectory], tmp_path: Path
) -> None:
    config, run, _ = runs
    with pytest.raises(UsageError, match="are the same run; name two"):
        compare(run, RunDirectory(run.path / ".." / run.path.name))
    labelled = replace(config, labels=("animal", "fruit"), run_dir=tmp_path / "labels", force=True)
    pipeline.run(labelled)
    with pytest.raises(RunError, match=r"has labels \['animal', 'fruit', 'other'\] and .* name two runs of one task"):
        compare(run, RunDirectory(labelled.directory))
    loose = replace(config, labels=None, agreement="fields", run_dir=tmp_path / "loose", force=True)
    exact = replace(config, labels=None, run_dir=tmp_path / "exact", force=True)
    for each in (loose, exact):
        pipeline.run(each)
    with pytest.raises(RunError, match="has agreement fields and .* agreement unset"):
        compare(RunDirectory(loose.directory), RunDirectory(exact.directory))
    _, queries = write_task(tmp_path, [f"other {sha256(bytes([at, at])).hexdigest()}" for at in range(60)])
    elsewhere = replace(config, queries=queries, run_dir=tmp_path / "elsewhere")
    pipeline.run(elsewhere)
    with pytest.raises(RunError, match="no query is held out both in .* give both the same queries and --seed"):
        compare(run, RunDirectory(elsewhere.directory))
