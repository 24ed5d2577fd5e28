"""Every report has the published form, the form is strict enough to find mistakes, and earlier reports are read."""

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from pdistill.core.contract.queries import Query
from pdistill.core.errors import RunError
from pdistill.core.numerics.split import Split
from pdistill.core.results import reporting
from pdistill.core.results.markdown import markdown
from pdistill.core.results.page import page
from pdistill.core.results.reporting import report_from
from pdistill.core.results.schema import require_form
from pdistill.core.store.rows import append_row
from tests.core.results.stored import stored_report, stored_row
from tests.run_builder import Outcome, build_run, every_fifth_held_out, outcomes

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "reference" / "report.schema.json").read_text("utf-8"))
SURROGATE = "\ud800"


@pytest.fixture(scope="module")
def published() -> Draft202012Validator:
    Draft202012Validator.check_schema(SCHEMA)
    return Draft202012Validator(SCHEMA)


PRICES = {"prompt": 1.0, "sampled": 2.0, "trained": 3.0, "source": "given as an option", "date": ""}


def erring(query: Query) -> Outcome:
    """Return an outcome whose student always differs."""
    return Outcome(query, split="train" if query.number % 5 else "eval", arms={"student": query.text})


def sampled(query: Query) -> Outcome:
    """Return an outcome that was chosen from three samples."""
    responses = ("moves", "lies", "moves")
    split: Split = "train" if query.number % 5 else "eval"
    return Outcome(query, "moves", split, {"teacher": "lies"}, responses, confidence=0.666667)


RUNS: dict[str, tuple[Callable[[Query], Outcome], dict[str, Any]]] = {
    "labels": (every_fifth_held_out, {}),
    "free text, a teacher that is drawn": (sampled, {"labels": None, "temperature": 2.0, "samples": 3}),
    "a student that always differs": (erring, {}),
    "prices": (every_fifth_held_out, {}),
}


def built(folder: Path, name: str) -> dict[str, Any]:
    """Return the content of report.json of a run that is made from rows."""
    make, options = RUNS[name]
    rows = outcomes((f"{at**9:x}" for at in range(60)), make, reference="animal", slices=("short", "long"))
    run = build_run(folder / "run", rows, probes={}, **options)
    if name == "prices":
        for side in ("teacher", "student"):
            append_row(run.path / "prices.jsonl", {"side": side, "model": "fake:rule", "prices": PRICES})
    reporting.report(run)
    made = json.loads(run.report.read_bytes())
    assert isinstance(made, dict)
    return made


@pytest.fixture(params=RUNS)
def report(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    return built(tmp_path, request.param)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the report of a run with labels, which a test must copy before it changes it."""
    return built(tmp_path_factory.mktemp("schema"), "labels")


def test_every_report_has_the_published_form(report: dict[str, Any], published: Draft202012Validator) -> None:
    published.validate(report)
    assert report.keys() == SCHEMA["properties"].keys()


def test_arms_and_figures_may_be_null(published: Draft202012Validator, plain: dict[str, Any]) -> None:
    made = deepcopy(plain)
    made["arms"]["base_prompted"] = made["arms"]["student_prompted"] = None
    made["arms"]["base"]["accuracy"] = made["confusions"] = made["preflight"] = None
    made["recovery"] = {"value": None, "low": None, "high": None}
    published.validate(made)
    require_form(made)
    assert "base, with prompt |" not in markdown(report_from(made))
    assert 'scope="row">student, with prompt' not in page(report_from(made), "")


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
def test_both_validators_find_errors(
    changes: dict[str, Any], published: Draft202012Validator, plain: dict[str, Any]
) -> None:
    made = {**plain, **changes}
    assert not published.is_valid(made)
    with pytest.raises(ValidationError):
        require_form(made)


def test_a_key_that_is_not_published_is_not_written_but_may_be_read(
    published: Draft202012Validator, plain: dict[str, Any]
) -> None:
    made = {**plain, "later": 1}
    published.validate(made)
    with pytest.raises(ValidationError, match="later"):
        require_form(made)
    assert asdict(report_from(made)) == plain


def _known(read: Any, row: Any) -> Any:
    """Return what was read, without the keys that the row lacks, all of which are null."""
    if isinstance(row, list):
        return [_known(*pair) for pair in zip(read, row, strict=True)]
    if not isinstance(row, dict):
        return read
    assert all(read[key] is None for key in read.keys() - row.keys())
    return {key: _known(read[key], value) for key, value in row.items()}


def test_a_report_of_an_earlier_version_is_read(published: Draft202012Validator) -> None:
    row = stored_row()
    published.validate(row)
    assert _known(asdict(stored_report()), row) == row
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


def test_lone_surrogates_do_not_break_a_report(published: Draft202012Validator, tmp_path: Path) -> None:
    def odd(query: Query) -> Outcome:
        text = f"{query.text} {SURROGATE}"
        query = Query(text, f"{query.number}{SURROGATE}", SURROGATE, (SURROGATE,), number=query.number)
        return Outcome(query, "yes", "train" if query.number % 5 else "eval", {"student": SURROGATE})

    run = build_run(tmp_path / "run", outcomes((f"{at**5:x}" for at in range(40)), odd), labels=None)
    read = report_from(reporting.report(run))
    made = json.loads(run.report.read_bytes())
    published.validate(made)
    assert made["disagreements"]["rows"][0]["query"].endswith(SURROGATE)
    assert SURROGATE in made["arms"]["student"]["slices"]
    assert asdict(read) == made
