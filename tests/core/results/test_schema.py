"""Every report has the published form, the form is strict enough to find mistakes, and earlier reports are read."""

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from pdistill.core import pipeline
from pdistill.core.contract.plugins import installed
from pdistill.core.contract.queries import Query
from pdistill.core.contract.task import Task
from pdistill.core.errors import RunError
from pdistill.core.results.markdown import markdown
from pdistill.core.results.page import page
from pdistill.core.results.reporting import report_from
from pdistill.core.results.schema import require_form
from pdistill.core.setup.config import Config
from tests.core.results.stored import stored_report, stored_row
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
    assert "base, with prompt |" not in markdown(report_from(made))
    assert 'scope="row">student, with prompt' not in page(report_from(made))


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
    row = pipeline.run(fake_config(tmp_path, tmp_path / "run"))
    made = {**row, "later": 1}
    published.validate(made)
    with pytest.raises(ValidationError, match="later"):
        require_form(made)
    assert asdict(report_from(made)) == row


def test_a_report_of_an_earlier_version_is_read(published: Draft202012Validator) -> None:
    row = stored_row()
    published.validate(row)
    assert asdict(stored_report()) == row
    for key in ("probes", "judge", "remote"):  # which its first reports did not have
        del row[key]
    read = report_from(row)
    assert (read.probes, read.judge, read.remote) == (None, None, None)
    assert "Judged by" not in markdown(read)


def test_a_damaged_report_is_one_line() -> None:
    row = stored_row()
    del row["cost"]["train"]["sequence_tokens"]
    with pytest.raises(RunError, match="report.json was edited or damaged"):
        report_from(row)
    with pytest.raises(RunError, match="remove it, and run pdistill report again"):
        report_from({})


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
        read = report_from(pipeline.run(config))
    finally:
        tasks.remove("odd")
    made = json.loads((config.directory / "report.json").read_bytes())
    published.validate(made)
    assert made["disagreements"]["rows"][0]["query"].endswith(SURROGATE)
    assert SURROGATE in made["arms"]["student"]["slices"]
    assert asdict(read) == made
