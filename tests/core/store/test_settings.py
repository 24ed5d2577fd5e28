"""The settings of the stages as their files hold them, those of earlier versions too."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pdistill.core.contract.sampling import Allowed, Sampling
from pdistill.core.errors import RunError
from pdistill.core.numerics.schedule import Schedule
from pdistill.core.store.rundir import RunDirectory
from pdistill.core.store.settings import (
    EvaluateSettings,
    GenerateSettings,
    TrainOptions,
    TrainSettings,
)

GENERATE = GenerateSettings(
    task="kinds",
    teacher="fake:rule",
    student="fake:echo",
    format="text",
    seed=3,
    held_out=0.1,
    count=100,
    samples=2,
    select="best",
    min_confidence=0.75,
    temperature=0.5,
    top_p=0.9,
    max_tokens=64,
    stop=("##", "\n\n"),
    stop_at_newline=True,
    constrain=Allowed(labels=("a", "b")),
    renderer={"vocabulary": "abc"},
    resolved={"teacher": {"device": "cpu"}, "student": {}},
)
TRAIN = TrainSettings(
    options=TrainOptions(
        student=None, objective="hard", learning_rate=None, epochs=2, batch_size=None, rank=8, warm_start=False
    ),
    student="fake:echo",
    schedule=Schedule(rows=80, batch_size=8, epochs=2, learning_rate=1e-3, seed=3),
    renderer={"vocabulary": "abc"},
    resolved={"student": {"threads": 2}},
)
EVALUATE = EvaluateSettings(same_model=True, left_out={"retention": "no log-probabilities"}, resolved={"student": {}})
ALL = [GENERATE, TRAIN, EVALUATE, replace(GENERATE, constrain=None, renderer=None)]


@pytest.mark.parametrize("settings", ALL, ids=lambda settings: type(settings).__name__)
def test_settings_come_back_from_their_file(settings: Any, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.write_settings(settings)
    assert run.stored(type(settings)) == settings
    row = json.loads((tmp_path / f"{settings.STAGE}.json").read_bytes())
    assert row == json.loads(json.dumps(settings.as_row()))


def test_keys_of_the_files_are_those_of_earlier_versions() -> None:
    row: Any = GENERATE.as_row()
    assert list(row) == ["task", "settings", "resolved"]
    assert (row["settings"]["first_line"], row["settings"]["stop"]) == (True, ["##", "\n\n"])
    assert row["settings"]["constrain"] == {"labels": ("a", "b")}
    train: Any = TRAIN.as_row()
    assert list(train["settings"]) == ["student", "schedule", "renderer"]
    assert EVALUATE.as_row()["settings"] == {"alike": True, "left_out": {"retention": "no log-probabilities"}}


def test_keys_that_an_earlier_version_did_not_write_have_their_defaults() -> None:
    generate: Any = GENERATE.as_row()
    del generate["settings"]["constrain"], generate["settings"]["held_out"]
    assert GenerateSettings.from_row(generate) == replace(GENERATE, constrain=None, held_out=None)
    evaluate: Any = EVALUATE.as_row()
    del evaluate["settings"]["left_out"]
    assert EvaluateSettings.from_row(evaluate) == replace(EVALUATE, left_out={})


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("generate", lambda row: row["settings"].pop("first_line")),
        ("generate", lambda row: row["settings"].update(unknown=1)),
        ("generate", lambda row: row.update(settings=None)),
        ("train", lambda row: row["options"].pop("rank")),
        ("train", lambda row: row["settings"].update(schedule=[])),
        ("evaluate", lambda row: row["settings"].pop("alike")),
        ("evaluate", lambda row: row.pop("resolved")),
    ],
)
def test_a_damaged_file_is_named(name: str, damage: Any, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    settings: Any = {"generate": GENERATE, "train": TRAIN, "evaluate": EVALUATE}[name]
    row = json.loads(json.dumps(settings.as_row()))
    damage(row)
    run.write_json(f"{name}.json", row)
    with pytest.raises(RunError, match=rf"{name}\.json was edited or damaged; restore it, or start a new run"):
        run.stored(type(settings))


def test_how_answers_are_sampled_follows_from_the_settings() -> None:
    assert GENERATE.sampling == Sampling(0.5, 0.9, 64, ("##", "\n\n"), True)
    assert GENERATE.teacher_sampling == replace(GENERATE.sampling, allowed=Allowed(labels=("a", "b")))
    assert GENERATE.greedy_sampling == Sampling(0.0, 1.0, 64, ("##", "\n\n"), True)


@pytest.mark.parametrize(
    ("temperature", "constrain", "repeatable"),
    [(0.0, None, True), (0.5, None, False), (0.0, Allowed(pattern="a+"), False)],
)
def test_only_a_greedy_and_unconstrained_teacher_would_answer_the_same_again(
    temperature: float, constrain: Allowed | None, repeatable: bool
) -> None:
    assert replace(GENERATE, temperature=temperature, constrain=constrain).repeatable is repeatable


def test_a_stage_that_was_not_reached_names_the_next_command(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    assert run.stored(TrainSettings) is None
    with pytest.raises(RunError, match="there is no run in"):
        run.settings(TrainSettings)
    run.path.mkdir()
    run.write_json("run.json", {})
    with pytest.raises(RunError, match="has not reached that stage; continue with the command that started it"):
        run.settings(TrainSettings)
    run.examples.touch()
    with pytest.raises(RunError, match="has not reached that stage; continue with pdistill train"):
        run.settings(TrainSettings)
