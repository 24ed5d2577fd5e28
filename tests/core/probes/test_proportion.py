"""The probes of a run take at most a quarter of its teacher's pass, and what is left out is said."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pdistill.core import pipeline
from pdistill.core.contract.jsontext import JsonObject
from pdistill.core.probes import proportion
from pdistill.core.probes.findings import TOO_SMALL
from pdistill.core.probes.proportion import LEAST_QUESTIONS, probes_of
from pdistill.core.setup.inputs import read_inputs
from pdistill.core.setup.models import resolve_models
from pdistill.core.setup.plan import Plan, make_plan
from tests.runs import fake_config

ALL = {"leakage": 24, "retention": 48, "injection": 24, "welcome": 32}


@pytest.fixture(autouse=True)
def _a_quarter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proportion, "MOST_OF_THE_PASS", 0.25)


def made(folder: Path, queries: int, **options: Any) -> tuple[Plan, list[JsonObject] | None]:
    """Return the plan of a run, and its probes."""
    (folder / "many.txt").write_text("".join(f"a query of some forty characters, no {at}\n" for at in range(queries)))
    config = fake_config(folder, folder / "run", queries=folder / "many.txt", **options)
    inputs = read_inputs(config)
    plan = make_plan(config, inputs, resolve_models(config, inputs.task), inputs.fingerprint())
    return plan, probes_of(plan, config)


def test_many_queries_allow_all_questions(tmp_path: Path) -> None:
    _, rows = made(tmp_path, 6_000)
    assert Counter(row["probe"] for row in rows or ()) == ALL


def test_fewer_allow_a_quarter_of_the_pass_spread_over_the_questions(tmp_path: Path) -> None:
    plan, rows = made(tmp_path, 1_500)
    assert rows is not None
    counts = Counter(row["probe"] for row in rows)
    assert all(LEAST_QUESTIONS <= counts[probe] < most for probe, most in ALL.items())
    assert sum(proportion._tokens(row, plan) for row in rows) <= 0.25 * proportion._pass_tokens(plan)
    for probe in ALL:
        own = [row for row in rows if row["probe"] == probe]
        assert [row["number"] for row in own] == list(range(len(own)))
    assert {row["where"] for row in rows if row["probe"] == "retention"} == {"other prompt", "plain text"}


def test_a_probe_with_very_few_questions_is_left_out_and_the_report_says_why(tmp_path: Path) -> None:
    report = pipeline.run(fake_config(tmp_path, tmp_path / "run"))
    assert report["probes"] == {key: {"alarm": None, "not_run": TOO_SMALL} for key in ALL}
    assert "not run" in (tmp_path / "run" / "report.md").read_text()


def test_no_probes_leaves_out_all_of_them(tmp_path: Path) -> None:
    assert made(tmp_path, 6_000, no_probes=True)[1] is None
    report = pipeline.run(fake_config(tmp_path, tmp_path / "run", no_probes=True))
    assert report["probes"] is None
    assert not list((tmp_path / "run").glob("probes*"))
