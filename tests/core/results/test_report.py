"""The parts of the report that are more than the figures of an arm, on whole runs of the fake backend."""

from collections import Counter
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from pdistill.core import pipeline
from pdistill.core.setup.config import Config
from pdistill.core.store.rows import read_rows
from tests.runs import LINES, fake_config, write_task


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("report")
    config = fake_config(folder, folder / "run", temperature=3.0)  # the teacher is so unsteady that the student differs
    words = (sha256(bytes([at])).hexdigest() for at in range(150))
    write_task(folder, [f"{['kind', 'soft', 'new'][at % 3]} {word}" for at, word in enumerate(words)])
    return config, pipeline.run(config)


def learnt(config: Config) -> dict[str, str]:
    return {
        row["id"]: row["target"] for row in read_rows(config.directory / "examples.jsonl") if row["split"] == "eval"
    }


def answers(config: Config, name: str) -> dict[str, str]:
    return {row["id"]: row["response"] for row in read_rows(config.directory / f"predictions-{name}.jsonl")}


def test_confusions_count_every_pair_of_teacher_and_student(finished: tuple[Config, dict[str, Any]]) -> None:
    config, report = finished
    teacher, student = learnt(config), answers(config, "student")
    labels = set(report["confusions"]["labels"])
    expected = Counter((teacher[name], student[name] if student[name] in labels else None) for name in teacher)
    found = {(row["teacher"], row["student"]): row["n"] for row in report["confusions"]["rows"]}
    assert found == expected
    assert sum(found.values()) == report["n"]["eval"]


def test_disagreements_are_those_of_the_predictions(finished: tuple[Config, dict[str, Any]]) -> None:
    config, report = finished
    teacher, student = learnt(config), answers(config, "student")
    differing = {name for name in teacher if teacher[name] != student[name]}
    found = report["disagreements"]
    assert differing
    assert found["n"] == len(differing)
    assert {row["id"] for row in found["rows"]} == differing
    for row in found["rows"]:
        assert (row["teacher"], row["student"]["response"]) == (teacher[row["id"]], student[row["id"]])
    slices = report["arms"]["student"]["slices"]
    worst = [min(slices[name]["agreement"]["value"] for name in row["slices"]) for row in found["rows"]]
    assert worst == sorted(worst)


def test_differences_are_those_of_the_arms(finished: tuple[Config, dict[str, Any]]) -> None:
    _, report = finished
    for arm, figures in report["differences"].items():
        for by in ("agreement", "accuracy"):
            expected = report["arms"]["student"][by]["value"] - report["arms"][arm][by]["value"]
            assert figures[by]["value"] == pytest.approx(expected, abs=2e-6)
            assert figures[by]["low"] <= figures[by]["value"] <= figures[by]["high"]


def test_a_teacher_that_is_drawn_is_compared_with_itself(finished: tuple[Config, dict[str, Any]]) -> None:
    config, report = finished
    again = answers(config, "teacher")
    same = [again[name] == target for name, target in learnt(config).items()]
    assert report["greedy_teacher"] is False
    assert 0 < sum(same) < len(same)
    assert report["arms"]["teacher"]["agreement"]["value"] == pytest.approx(sum(same) / len(same), abs=1e-6)


def test_the_training_curve_ends_with_the_last_step(finished: tuple[Config, dict[str, Any]]) -> None:
    _, report = finished
    assert report["loss"][-1][0] == report["training"]["steps"]


def test_a_planted_leak_is_found_and_kept_on_one_side(finished: tuple[Config, dict[str, Any]], tmp_path: Path) -> None:
    _, report = finished
    assert report["groups"] == {"queries": 0, "groups": 0, "largest": 0}
    copies = [f"{line}!" for line in LINES[:3]]
    leaking = fake_config(tmp_path, tmp_path / "run")
    assert leaking.queries is not None
    with leaking.queries.open("a") as file:
        file.writelines(f'{{"query": "{text}", "reference": "animal"}}\n' for text in copies)
    report = pipeline.run(replace(leaking, limit=None))
    assert report["groups"] == {"queries": 6, "groups": 3, "largest": 2}
    split = [row["split"] for row in read_rows(leaking.directory / "examples.jsonl")]
    assert split[30:] == split[:3]
    assert "3 groups of related queries" in (leaking.directory / "report.md").read_text()
