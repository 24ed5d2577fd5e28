"""Every report has the form that is published, and the form is strict enough to find what is wrong."""

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from pdistill.core import pipeline
from pdistill.core.contract.plugins import installed
from pdistill.core.contract.queries import Query
from pdistill.core.contract.task import Task
from pdistill.core.results.markdown import markdown
from pdistill.core.results.page import page
from pdistill.core.results.reportform import require_form
from pdistill.core.setup.config import Config
from tests.runs import fake_config

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "reference" / "report.schema.json").read_text("utf-8"))
SURROGATE = "\ud800"


@pytest.fixture(scope="module")
def published() -> Draft202012Validator:
    Draft202012Validator.check_schema(SCHEMA)
    return Draft202012Validator(SCHEMA)


RUNS: dict[str, dict[str, Any]] = {
    "labels": {},
    "free text, a teacher that is drawn": {"labels": None, "temperature": 2.0, "samples": 3},
    "a student that always differs": {"learning_rate": 1e-9, "force": True},
    "prices": {"backend_options": {"price_prompt": 1.0, "price_sampled": 2.0, "price_trained": 3.0}},
}


@pytest.fixture(params=RUNS)
def report(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    config = fake_config(tmp_path, tmp_path / "run", **RUNS[request.param])
    pipeline.run(config)
    made = json.loads((config.directory / "report.json").read_bytes())
    assert isinstance(made, dict)
    return made


def test_every_report_has_the_published_form(report: dict[str, Any], published: Draft202012Validator) -> None:
    published.validate(report)
    assert report.keys() == SCHEMA["properties"].keys()


def test_arms_and_figures_may_be_null(published: Draft202012Validator, tmp_path: Path) -> None:
    made = deepcopy(pipeline.run(fake_config(tmp_path, tmp_path / "run")))
    made["arms"]["base_prompted"] = made["arms"]["student_prompted"] = None
    made["arms"]["base"]["accuracy"] = made["confusions"] = made["preflight"] = None
    made["recovery"] = {"value": None, "low": None, "high": None}
    published.validate(made)
    require_form(made)
    assert "base, with the prompt |" not in markdown(made)
    assert 'scope="row">student, with the prompt' not in page(made)


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": 2},
        {"task": None},
        {"n": {"train": 1, "eval": 1}},
        {"recovery": {"value": "much", "low": None, "high": None}},
        {"recovery_in": "luck"},
        {"loss": [[1]]},
        {"rejections": {"reason": -1}},
    ],
)
def test_both_validators_find_errors(changes: dict[str, Any], published: Draft202012Validator, tmp_path: Path) -> None:
    made = {**pipeline.run(fake_config(tmp_path, tmp_path / "run")), **changes}
    assert not published.is_valid(made)
    with pytest.raises(ValidationError):
        require_form(made)


def test_a_key_that_is_not_published_is_not_written_but_may_be_read(
    published: Draft202012Validator, tmp_path: Path
) -> None:
    made = {**pipeline.run(fake_config(tmp_path, tmp_path / "run")), "later": 1}
    published.validate(made)
    with pytest.raises(ValidationError, match="later"):
        require_form(made)


class Odd(Task):
    """Its queries hold what no file of queries may: half of a surrogate pair."""

    prompt = "Say it again."

    def queries(self) -> Iterator[Query]:
        for at in range(40):
            yield Query(f"{at**5:x} {SURROGATE}", id=f"{at}{SURROGATE}", reference=SURROGATE, slices=(SURROGATE,))


def test_lone_surrogates_do_not_break_a_run(published: Draft202012Validator, tmp_path: Path) -> None:
    tasks = installed().tasks
    tasks.register("odd", lambda options: Odd())
    config = Config(task="odd", backend="fake", run_dir=tmp_path / "run", learning_rate=1e-9, force=True)
    try:
        pipeline.run(config)
    finally:
        tasks.remove("odd")
    made = json.loads((config.directory / "report.json").read_bytes())
    published.validate(made)
    assert made["disagreements"]["rows"][0]["query"].endswith(SURROGATE)
    assert SURROGATE in made["arms"]["student"]["slices"]
