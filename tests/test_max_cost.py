"""Runs on the fake backend with prices: their cost, and where `max_cost` stops them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pdistill.backends.fake import FakeBackend, FakeOptions
from pdistill.core import pipeline
from pdistill.core.contract.plugins import installed
from pdistill.core.contract.prices import Prices
from pdistill.core.errors import RunError, UsageError
from pdistill.core.money.cost import by_side, money, stored_prices, tokens_spent
from pdistill.core.results import reporting
from pdistill.core.setup.config import Config
from pdistill.core.store.rows import read_rows
from pdistill.core.store.rundir import ARMS, PROBES, RunDirectory
from tests.runs import SECONDS, contents, fake_config

PRICES = {"price_prompt": "3", "price_sampled": "15", "price_trained": "6"}
VARIANTS: dict[str, dict[str, Any]] = {
    "streaming": {"backend_options": {**PRICES, "shuffle": "true"}},
    "chunks": {"backend_options": {**PRICES, "chunk": "7"}},
    "drawn": {"backend_options": PRICES, "temperature": 0.7, "samples": 3},
}
GENERATED = ("responses.jsonl", "preflight-base.jsonl", "preflight-teacher.jsonl", "probes-injection-teacher.jsonl")
VARYING = {"run.json", "timings.jsonl", *SECONDS}
Whole = tuple[Config, dict[str, Any]]


@pytest.fixture(scope="module", params=VARIANTS)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("whole")
    config = fake_config(folder, folder / "run", max_tokens=6, **VARIANTS[request.param])
    return config, pipeline.run(config)


@pytest.fixture
def unpriced() -> Iterator[str]:
    """Return the name of a backend whose prices are unknown unless all of them are given."""

    class Unpriced(FakeBackend):
        def prices(self, model: str) -> Prices | None:
            found = super().prices(model)
            return found if found and found.source == "given as an option" else None

    installed().backends.register("unpriced", Unpriced, options=FakeOptions)
    yield "unpriced"
    installed().backends.remove("unpriced")


def spent(run: Path) -> float:
    """Return the cost of the rows of a run at the prices of these tests."""

    def of(name: str, *keys: str) -> list[int]:
        file = next((path for path in (run / name, run / f"{name}.part") if path.exists()), None)
        rows = list(read_rows(file)) if file else []
        return [sum(row[key] for row in rows if not row.get("reused")) for key in keys]

    looked_at = [f"preflight-{arm}.jsonl" for arm in ("base", "teacher")]
    probed = [f"probes-{probe}-{arm}.jsonl" for probe, arms in PROBES.items() for arm in arms]
    files = ["responses.jsonl", *looked_at, *(f"predictions-{arm}.jsonl" for arm in ARMS), *probed]
    asked = [of(name, "prompt_tokens", "tokens") for name in files]
    prompt, sampled = (sum(column) for column in zip(*asked, strict=True))
    (trained,) = of("metrics.jsonl", "sequence_tokens")
    return float(3 * prompt + 15 * sampled + 6 * trained) / 1e6


def test_the_report_counts_the_rows_of_each_stage(whole: Whole) -> None:
    config, report = whole
    cost = report["cost"]
    assert cost["usd"] == pytest.approx(spent(config.directory), abs=1e-6)
    assert cost["usd"] == pytest.approx(
        sum(cost[stage]["usd"] for stage in ("generate", "train", "evaluate")), abs=2e-6
    )
    files = [config.directory / name for name in GENERATED]
    answers = [row for file in files if file.exists() for row in read_rows(file)]
    assert cost["generate"]["prompt_tokens"] == sum(row["prompt_tokens"] for row in answers)
    assert cost["prices"]["student"]["trained"] == 6
    saved = cost["saved_usd_per_call"]
    assert saved == pytest.approx(report["tokens"]["saved_per_call"] * 3e-6, rel=0.5)
    assert (cost["break_even_calls"] - 1) * saved < cost["usd"] <= cost["break_even_calls"] * saved * (1 + 1e-5)


def test_copied_answers_are_not_paid_for(whole: Whole) -> None:
    config, report = whole
    greedy = config.temperature == 0
    held_out = report["n"]["eval"] + report["n"]["eval_rejected"]
    for arm in ARMS:
        rows = list(read_rows(config.directory / f"predictions-{arm}.jsonl"))
        copied = arm in (("teacher", "base_prompted", "base") if greedy else ("teacher", "base"))
        assert [row.get("reused", False) for row in rows] == [copied] * held_out


def test_a_limit_that_is_never_reached_changes_no_byte(whole: Whole, tmp_path: Path) -> None:
    config, report = whole
    other = pipeline.run(replace(config, run_dir=tmp_path / "run", max_cost=1000.0))
    assert other["cost"] == report["cost"]
    assert contents(tmp_path / "run", without=VARYING) == contents(config.directory, without=VARYING)


@pytest.mark.parametrize("stage", ["generate", "train", "evaluate"])
def test_each_stage_stops_before_the_limit_and_ends_in_the_same_bytes(whole: Whole, stage: str, tmp_path: Path) -> None:
    config, report = whole
    before = {"generate": (), "train": ("generate",), "evaluate": ("generate", "train")}[stage]
    limit = sum(report["cost"][name]["usd"] for name in before) + 0.6 * report["cost"][stage]["usd"]
    run = RunDirectory(tmp_path / "run")
    with pytest.raises(
        RunError, match=r"stopped by --max-cost .*: \$.* could cost \$.* continue with the same command"
    ):
        pipeline.run(replace(config, run_dir=run.path, max_cost=limit))
    assert 0 < spent(run.path) <= limit
    assert [run.examples.exists(), run.adapter.exists(), run.evaluated] == [
        stage != "generate",
        stage == "evaluate",
        False,
    ]
    stopped = contents(run.path, without={"timings.jsonl"})
    with pytest.raises(RunError, match="stopped by --max-cost"):
        pipeline.run(replace(config, run_dir=run.path, max_cost=limit))
    assert contents(run.path, without={"timings.jsonl"}) == stopped
    pipeline.run(replace(config, run_dir=run.path))
    assert contents(run.path, without=VARYING) == contents(config.directory, without=VARYING)


def test_limit_holds_however_often_the_run_resumes(whole: Whole, tmp_path: Path) -> None:
    config, report = whole
    run = tmp_path / "run"
    for share in (0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.97):
        limit = share * report["cost"]["usd"]
        with pytest.raises(RunError, match="stopped by --max-cost"):
            pipeline.run(replace(config, run_dir=run, max_cost=limit))
        assert spent(run) <= limit
    pipeline.run(replace(config, run_dir=run))
    assert contents(run, without=VARYING) == contents(config.directory, without=VARYING)


def test_stages_one_by_one_take_the_limit_of_the_whole_run(tmp_path: Path) -> None:
    run = pipeline.generate(fake_config(tmp_path, tmp_path / "run", max_tokens=6, backend_options=PRICES))
    generated = spent(run.path)
    with pytest.raises(RunError, match="the training up to its next checkpoint"):
        pipeline.train(run, {}, max_cost=generated + 1e-6)
    assert spent(run.path) == generated
    pipeline.train(run, {}, max_cost=1.0)
    trained = spent(run.path)
    with pytest.raises(RunError, match="the next request could cost"):
        pipeline.evaluate(run, max_cost=trained + 1e-6)
    assert spent(run.path) == trained
    pipeline.evaluate(run, max_cost=1.0)
    assert reporting.report(run)["cost"]["usd"] == pytest.approx(spent(run.path), abs=1e-6)


def test_reused_answers_count_for_nothing(tmp_path: Path) -> None:
    first = pipeline.generate(fake_config(tmp_path, tmp_path / "first", limit=20, backend_options=PRICES))
    second = pipeline.generate(fake_config(tmp_path, tmp_path / "second", from_run=first.path, backend_options=PRICES))
    whole = pipeline.generate(fake_config(tmp_path, tmp_path / "whole", backend_options=PRICES))
    teacher = [by_side(tokens_spent(run))["teacher"] for run in (first, second, whole)]
    assert teacher[1] == teacher[2] - teacher[0]
    assert money(by_side(tokens_spent(second)), stored_prices(second)) == pytest.approx(spent(second.path))


def test_an_unknown_price_refuses_a_limit_before_anything_is_written(unpriced: str, tmp_path: Path) -> None:
    config = fake_config(tmp_path, tmp_path / "run", teacher="unpriced:rule", student="fake:rule", max_cost=1.0)
    with pytest.raises(UsageError, match=r"the price of unpriced:rule is unknown; give -B teacher.price_prompt=USD"):
        pipeline.run(config)
    assert not config.directory.exists()
    pipeline.generate(replace(config, max_cost=None))
    with pytest.raises(UsageError, match="the price of unpriced:rule is unknown"):
        pipeline.train(RunDirectory(config.directory), {}, max_cost=1.0)
    prices = {f"teacher.{key}": value for key, value in PRICES.items()}
    pipeline.train(RunDirectory(config.directory), {}, max_cost=1.0, backend_options=prices)
    pipeline.evaluate(RunDirectory(config.directory), max_cost=1.0)  # prices given at the start are kept
    known = reporting.report(RunDirectory(config.directory))["cost"]
    assert known["generate"]["usd"] > 0
    assert (known["train"]["usd"], known["usd"]) == (0.0, known["generate"]["usd"])


def test_an_unknown_price_leaves_the_report_without_money(unpriced: str, tmp_path: Path) -> None:
    config = fake_config(tmp_path, tmp_path / "run", backend=unpriced)
    cost = pipeline.run(config)["cost"]
    assert (cost["usd"], cost["generate"]["usd"], cost["saved_usd_per_call"]) == (None, None, None)
    assert (cost["prices"], cost["break_even_in"]) == ({"teacher": None, "student": None}, "tokens")
    assert cost["break_even_calls"] > 0
    assert "the price of the teacher and student is unknown" in (config.directory / "report.md").read_text()


class Heard:
    """Progress that keeps its state."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.notes: list[str] = []

    def begin(self, stage: str, total: int, done: int, unit: str) -> None:
        pass

    def advance(self, count: int = 1, note: str = "") -> None:
        self.notes.append(note)

    def end(self) -> None:
        pass

    def say(self, line: str) -> None:
        self.lines.append(line)


def test_limit_on_free_models_is_mentioned_and_stops_nothing(tmp_path: Path) -> None:
    heard = Heard()
    cost = pipeline.run(fake_config(tmp_path, tmp_path / "run", max_cost=0.01), heard)["cost"]
    assert "--max-cost 0.01 has no effect: these models cost no money" in heard.lines
    assert (cost["usd"], cost["saved_usd_per_call"], cost["break_even_in"]) == (0.0, 0.0, "tokens")
    assert not any("$" in note for note in heard.notes)


def test_progress_shows_the_cost_so_far(tmp_path: Path) -> None:
    heard = Heard()
    config = fake_config(tmp_path, tmp_path / "run", backend_options={**PRICES, "price_prompt": "3000"})
    cost = pipeline.run(config, heard)["cost"]
    assert heard.notes[-1] == f"${cost['usd']:.2f} so far"
    assert any(note.startswith("loss ") and note.endswith(" so far") for note in heard.notes)


def test_other_prices_of_the_two_sides_leave_them_one_model(tmp_path: Path) -> None:
    run = pipeline.generate(fake_config(tmp_path, tmp_path / "run", backend_options={"teacher.price_prompt": "9"}))
    pipeline.train(run, {})
    pipeline.evaluate(run)
    assert run.stage("evaluate")["settings"]["alike"]
    assert reporting.report(run)["cost"]["prices"]["teacher"]["prompt"] == 9


def test_a_price_of_one_side_leaves_the_others_as_it_was_given(tmp_path: Path) -> None:
    run = pipeline.generate(fake_config(tmp_path, tmp_path / "run"))
    pipeline.train(run, {}, max_cost=1.0, backend_options={"teacher.price_prompt": "9"})
    pipeline.evaluate(run, backend_options={"student.price_sampled": "5"})
    prices = stored_prices(run)
    assert prices["teacher"] is not None
    assert prices["student"] is not None
    assert (prices["teacher"].prompt, prices["student"].sampled) == (9, 5)
    assert [row["side"] for row in read_rows(run.path / "prices.jsonl")] == ["teacher", "student", "teacher", "student"]


def test_a_limit_before_a_chunk_that_is_not_whole_keeps_its_rows(tmp_path: Path) -> None:
    options = {**PRICES, "chunk": "10"}
    config = fake_config(tmp_path, tmp_path / "run", max_tokens=6, backend_options=options)
    whole = pipeline.generate(replace(config, run_dir=tmp_path / "whole"))
    whole.probe("injection", "teacher").path.unlink()  # it runs after the teacher's pass, whose cost is measured here
    with pytest.raises(RunError, match="the next 10 requests together could cost"):
        pipeline.generate(replace(config, max_cost=0.7 * spent(whole.path)))
    part = config.directory / "responses.jsonl.part"
    lines = (whole.path / "responses.jsonl").read_bytes().splitlines(keepends=True)
    assert part.read_bytes() == b"".join(lines[:10])
    part.write_bytes(b"".join(lines[:13]))
    with pytest.raises(RunError, match="the next 10 requests together could cost"):
        pipeline.generate(replace(config, max_cost=0.7 * spent(whole.path)))
    assert part.read_bytes() == b"".join(lines[:13])
    pipeline.generate(config)
    assert (config.directory / "responses.jsonl").read_bytes() == b"".join(lines)


def test_refused_limit_does_not_fix_the_training_options(unpriced: str, tmp_path: Path) -> None:
    run = pipeline.generate(fake_config(tmp_path, tmp_path / "run", backend=unpriced))
    with pytest.raises(UsageError, match="is unknown; give"):
        pipeline.train(run, {"epochs": 2}, max_cost=1.0)
    pipeline.train(run, {"epochs": 3})
    assert run.stage("train")["options"]["epochs"] == 3


def test_only_options_that_change_no_row_can_be_given_late(tmp_path: Path) -> None:
    run = pipeline.generate(fake_config(tmp_path, tmp_path / "run"))
    with pytest.raises(
        RunError, match=r"was made with other options: backend-options unset .*only options that do not change any row"
    ):
        pipeline.train(run, {}, backend_options={"cut_every": "2"})
    with pytest.raises(UsageError, match="invalid value -1 for --max-cost: must be above 0"):
        pipeline.train(run, {}, max_cost=-1)
