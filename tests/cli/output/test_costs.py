"""What a run costs, as the commands show it: before, at the limit, and after."""

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from pdistill.backends.fake import FakeBackend, FakeOptions
from pdistill.cli.output.report import show
from pdistill.core.contract.plugins import installed
from pdistill.core.contract.prices import Prices
from tests.runs import INJECTIONS

Call = Callable[..., Result]
Job = Callable[[Path], list[object]]

FREE = {"prompt": 0.0, "sampled": 0.0, "trained": 0.0, "source": "a list", "date": ""}
PRICED = ("-B", "price_prompt=3", "-B", "price_sampled=15", "-B", "price_trained=6", "--max-tokens", 4)


def words(text: str) -> str:
    """Return the text with single spaces, however its lines were broken."""
    return " ".join(text.split())


def test_dry_run_shows_the_maximum_cost_of_each_stage(call: Call, job: Job, tmp_path: Path) -> None:
    args = ["run", *job(tmp_path / "run"), *PRICED, "--dry-run"]
    row = json.loads(call(*args, "--json").stdout)
    cost = row["cost_at_most"]
    assert row["train"] + row["held_out"] == 60
    looked_at = cost["generate"]["sampled_tokens"] // 4 - 60 - INJECTIONS
    assert 4 <= looked_at == min(40, row["held_out"])
    assert cost["generate"]["prompt_tokens"] > round(60 * row["tokens"]["prompt_teacher"])
    assert cost["usd"] == pytest.approx(
        sum(cost[stage]["usd"] for stage in ("generate", "train", "evaluate")), abs=2e-6
    )
    said = words(call(*args).stdout)
    assert f"{row['train']} for training, {row['held_out']} held out." in said
    assert f"Cost at most, with 4 tokens per answer: generate ${cost['generate']['usd']:.4f} (" in said
    assert f"; ${cost['usd']:.4f} in total." in said
    assert (
        "Price of the teacher fake:rule, USD per million tokens: 3 input, 15 output, 6 training (given as an option)."
        in said
    )


def test_dry_run_distinguishes_free_from_unknown_prices(
    call: Call, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = words(call("run", *job(tmp_path / "run"), "--dry-run").stdout)
    assert "$0 in total. The teacher fake:rule is free of charge. The student fake:rule is free of charge." in free
    monkeypatch.setattr(FakeBackend, "prices", lambda self, model: None)
    unknown = words(call("run", *job(tmp_path / "run"), "--dry-run").stdout)
    assert "no total in USD, since the price of the teacher and student is unknown." in unknown
    assert "The price of the student fake:rule is unknown; give -B student.price_prompt=USD" in unknown
    assert "$" not in unknown
    row = json.loads(call("run", *job(tmp_path / "run"), "--dry-run", "--json").stdout)
    assert (row["cost_at_most"]["usd"], row["cost_at_most"]["prices"]["teacher"]) == (None, None)


def test_the_source_of_a_price_can_not_reach_the_terminal(call: Call, job: Job, tmp_path: Path) -> None:
    class Hostile(FakeBackend):
        def prices(self, model: str) -> Prices:
            return Prices(1.0, 1.0, 1.0, "\x1b]0;owned\x07", "2026-01-31")

    installed().backends.register("hostile", Hostile, options=FakeOptions)
    try:
        result = call("run", *job(tmp_path / "run"), "--backend", "hostile", "--dry-run")
    finally:
        installed().backends.remove("hostile")
    assert "(\\x1b]0;owned\\x07, 2026-01-31)" in words(result.stdout)
    assert not set(result.output) & {"\x1b", "\x07"}


@pytest.mark.parametrize("value", ["0", "-1", "much"])
def test_invalid_limit_is_a_usage_error(call: Call, job: Job, tmp_path: Path, value: str) -> None:
    result = call("run", *job(tmp_path / "run"), "--max-cost", value)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: invalid value for '--max-cost'")


def test_limit_with_an_unknown_price_is_a_usage_error(
    call: Call, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeBackend, "prices", lambda self, model: None)
    result = call("run", *job(tmp_path / "run"), "--max-cost", 5)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == (
        "error: --max-cost 5 can't be enforced: the price of fake:rule is unknown; give -B teacher.price_prompt=USD "
        "-B teacher.price_sampled=USD -B teacher.price_trained=USD (USD per million tokens), or leave --max-cost out"
    )


def test_limit_can_be_set_in_the_configuration_file(call: Call, job: Job, tmp_path: Path) -> None:
    file = tmp_path / "job.toml"
    file.write_text("max-cost = 0.002\n[backend-options]\nprice_prompt = 3\n")
    result = call("generate", *job(tmp_path / "run"), "--config", file)
    assert (result.exit_code, "stopped by --max-cost 0.002" in result.stderr) == (1, True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {},
            "Break-even: the run pays for itself after {break_even_calls:,} calls (the run's tokens divided by the input tokens saved per call).",
        ),
        ({"break_even_calls": None}, "Break-even: never, since a call without the prompt saves no tokens."),
        (
            {"usd": 1.5, "saved_usd_per_call": 0.0003, "break_even_calls": 5000, "break_even_in": "usd"},
            "$1.50 in total. Break-even: the run pays for itself after 5,000 calls (a million calls without the prompt save $300.00).",
        ),
        (
            {"usd": 1.5, "saved_usd_per_call": -0.1, "break_even_calls": None, "break_even_in": "usd"},
            "Break-even: never, since a call without the prompt saves no money.",
        ),
        (
            {"usd": None, "saved_usd_per_call": None, "prices": {"teacher": None, "student": FREE}},
            "no total in USD, since the price of the teacher is unknown.",
        ),
    ],
    ids=["no money", "no tokens saved", "money", "no money saved", "unknown"],
)
def test_the_report_says_when_the_run_has_paid_for_itself(
    finished: Path, changes: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    report = deepcopy(json.loads((finished / "report.json").read_text()))
    report["cost"] |= changes
    show(report, finished, as_json=False)
    assert said.format(**report["cost"]) in words(capsys.readouterr().out)
