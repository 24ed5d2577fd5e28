"""The reports of whole runs have the published form, whatever the options and the texts."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from pdistill.core import pipeline
from pdistill.core.contract.plugins import installed
from pdistill.core.contract.queries import Query
from pdistill.core.contract.task import Task
from pdistill.core.results.reporting import report_from
from pdistill.core.setup.config import Config
from tests.runs import fake_config

SCHEMA = json.loads((Path(__file__).parents[1] / "docs" / "reference" / "report.schema.json").read_text("utf-8"))
SURROGATE = "\ud800"

RUNS: dict[str, dict[str, Any]] = {
    "labels": {},
    "free text, a teacher that is drawn": {"labels": None, "temperature": 2.0, "samples": 3},
    "a student that always differs": {"learning_rate": 1e-9, "force": True},
    "prices": {"backend_options": {"price_prompt": 1.0, "price_sampled": 2.0, "price_trained": 3.0}},
}


@pytest.mark.parametrize("name", RUNS)
def test_every_report_has_the_published_form(name: str, tmp_path: Path) -> None:
    config = fake_config(tmp_path, tmp_path / "run", **RUNS[name])
    pipeline.run(config)
    made = json.loads((config.directory / "report.json").read_bytes())
    Draft202012Validator(SCHEMA).validate(made)
    assert made.keys() == SCHEMA["properties"].keys()


class Odd(Task):
    """Its queries hold what no file of queries may: half of a surrogate pair."""

    prompt = "Say it again."

    def queries(self) -> Iterator[Query]:
        for at in range(40):
            yield Query(f"{at**5:x} {SURROGATE}", id=f"{at}{SURROGATE}", reference=SURROGATE, slices=(SURROGATE,))


def test_lone_surrogates_do_not_break_a_run(tmp_path: Path) -> None:
    tasks = installed().tasks
    tasks.register("odd", lambda options: Odd())
    config = Config(task="odd", backend="fake", run_dir=tmp_path / "run", learning_rate=1e-9, force=True)
    try:
        read = report_from(pipeline.run(config))
    finally:
        tasks.remove("odd")
    made = json.loads((config.directory / "report.json").read_bytes())
    Draft202012Validator(SCHEMA).validate(made)
    assert made["disagreements"]["rows"][0]["query"].endswith(SURROGATE)
    assert SURROGATE in made["arms"]["student"]["slices"]
    assert asdict(read) == made
