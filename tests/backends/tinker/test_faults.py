"""Faulty answers cost time and nothing else: no row is lost or duplicated, and the figures are the same."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from pdistill.core import pipeline
from pdistill.core.errors import PdistillError
from pdistill.core.results import reporting
from pdistill.core.store.rundir import ARMS, find_run
from tests.backends.faults import BROKEN, CUT, HUNG, TOO_MANY, Fault, at, share
from tests.backends.proxy import Proxy
from tests.backends.tinker.runs import (
    OPTIONS,
    QUERIES,
    copy_of,
    losses,
    prompts,
    small_config,
    start_like,
    taken,
)
from tests.runs import Said

MANY = (TOO_MANY, Fault(429, retry_after="0"), BROKEN, Fault(502), Fault(503), CUT)
NEAR = 1e-4
FIGURES = ("n", "arms", "recovery", "tokens", "cost", "disagreements")


def test_answers_are_the_same_with_a_fifth_of_them_faulty(
    answered: Path, proxy: Callable[..., Proxy], tmp_path: Path
) -> None:
    faulty = proxy(plan=share(0.2, (*MANY, HUNG), ("sampling", "retrieval"), seed=1))
    pipeline.generate(small_config(tmp_path / "run"))
    for name in ("responses.jsonl", "examples.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() == (answered / name).read_bytes()
    sampling = faulty.of_kind("sampling")
    assert sum(seen.fault is not None for seen in faulty.calls) > QUERIES // 5
    assert set(prompts(sampling).values()) == {1}, "a request that the server had received was sent again"


def test_a_training_run_is_the_same_with_a_fifth_of_its_answers_faulty(
    answered: Path, trained: Path, proxy: Callable[..., Proxy], tmp_path: Path
) -> None:
    run = copy_of(answered, tmp_path / "run")
    start_like(trained, run)
    faulty = proxy(plan=share(0.2, (*MANY, HUNG), ("training", "retrieval", "saving"), seed=8))
    pipeline.train(find_run(str(run)), {})
    assert losses(run) == pytest.approx(losses(trained), abs=NEAR)
    assert {HUNG, CUT} < {seen.fault for seen in faulty.of_kind("training")}


def test_an_evaluation_is_the_same_with_faulty_answers(
    trained: Path, evaluated: Path, proxy: Callable[..., Proxy], tmp_path: Path
) -> None:
    run = copy_of(trained, tmp_path / "run")
    faulty = proxy(plan=share(0.4, (*MANY, HUNG), ("sampling", "retrieval"), seed=7))
    pipeline.evaluate(find_run(str(run)))
    report = reporting.report(find_run(str(run)))
    whole = json.loads((evaluated / "report.json").read_text())
    assert {key: report[key] for key in FIGURES} == {key: whole[key] for key in FIGURES}
    for arm in ARMS:
        name = f"predictions-{arm}.jsonl"
        assert (run / name).read_bytes() == (evaluated / name).read_bytes()
    assert sum(seen.fault is not None for seen in faulty.calls) > 5
    assert set(
        Counter((asked["sampling_session_id"], str(asked["prompt"])) for asked in taken(faulty.calls)).values()
    ) == {1}


@pytest.mark.parametrize("number", [0, 9])
def test_training_with_a_lost_answer_resumes_from_the_last_state(
    number: int, answered: Path, trained: Path, proxy: Callable[..., Proxy], tmp_path: Path
) -> None:
    run, said = copy_of(answered, tmp_path / "run"), Said()
    start_like(trained, run)
    proxy(plan=at(Fault(late=True), training=(number,)))
    pipeline.train(find_run(str(run)), {}, said)
    assert losses(run) == pytest.approx(losses(trained), abs=NEAR)
    assert sum("resuming from step" in line for line in said.lines) == 1


def test_a_service_that_stays_broken_ends_the_run_in_one_line(proxy: Callable[..., Proxy], tmp_path: Path) -> None:
    broken = proxy(plan=share(1.0, (BROKEN,), ("sampling",)))
    options = {**OPTIONS, "patience": 2.0}
    with pytest.raises(PdistillError, match="answers 500 Internal Server Error.*run the command again"):
        pipeline.generate(small_config(tmp_path / "run", backend_options=options))
    assert len(broken.of_kind("sampling")) < 40 * QUERIES
