"""A judge of the fake backend compares answers: what its verdicts come to, and that none is asked or paid for twice."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pdistill.core.contract.queries import Query
from pdistill.core.errors import BackendError, RunError, UsageError
from pdistill.core.results.judge import judge, verdict_in
from pdistill.core.results.reporting import report
from pdistill.core.store.rows import read_rows
from pdistill.core.store.rundir import RunDirectory
from tests.core.results.test_page import Tags
from tests.run_builder import LABELS, Outcome, build_run, outcomes

PAIR = re.compile(r"Answer A:\n(.*)\n\nAnswer B:\n(.*)", re.DOTALL)

Made = Callable[..., object]


def longer(prompt: str, case: str) -> str:
    """Prefer the longer answer, wherever it stands."""
    found = PAIR.search(case)
    assert found
    a, b = found.groups()
    return "SAME" if len(a) == len(b) else "A" if len(a) > len(b) else "B"


def unsteady(query: Query) -> Outcome:
    """Return an outcome whose student differs from the teacher, now with a longer answer, now with a shorter one."""
    at = query.number
    return Outcome(query, LABELS[at % 3], "eval" if at % 5 == 0 else "train", {"student": LABELS[at % 4 % 3]})


ROWS = outcomes((f"{at**9:x}" for at in range(150)), unsteady)
PAIRS = [(row.target or "", row.answer("student")) for row in ROWS if row.split == "eval"]
DIFFERING = [(learnt, said) for learnt, said in PAIRS if learnt != said]
"""The teacher's and the student's answers where they are two texts."""


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    """Return a run that was not judged yet."""
    return build_run(tmp_path / "run", ROWS)


def test_verdicts_in_both_orders_become_outcomes(run: RunDirectory, fake_backend: Made) -> None:
    fake_backend(teacher=longer, name="fair")
    found = judge(run, "fair:scripted")
    student = found["arms"]["student"]
    assert student["better"] == sum(len(said) > len(learnt) for learnt, said in DIFFERING) > 0
    assert student["worse"] == sum(len(said) < len(learnt) for learnt, said in DIFFERING) > 0
    assert student["same"] == sum(len(said) == len(learnt) for learnt, said in DIFFERING) > 0
    assert student["undecided"] == student["unreadable"] == 0
    assert student["identical"] == len(PAIRS) - len(DIFFERING)
    good = student["identical"] + student["same"] + student["better"]
    assert student["as_good"]["value"] == pytest.approx(good / student["as_good"]["n"], abs=1e-6)
    assert found["order"] == {"first": 0, "second": 0, "p": None}
    assert found["arms"]["base"]["rejected"] == found["arms"]["base"]["as_good"]["n"] == len(PAIRS)


@pytest.mark.parametrize("options", [{"chunk": "4"}, {"shuffle": "true"}])
def test_neither_batches_nor_order_change_the_verdicts(
    run: RunDirectory, fake_backend: Made, options: dict[str, str]
) -> None:
    fake_backend(teacher=longer, name="fair")
    found = judge(run, "fair:scripted", backend_options=options)
    assert found["arms"]["student"]["better"] == sum(len(said) > len(learnt) for learnt, said in DIFFERING)
    assert found["arms"]["student"]["unreadable"] == 0
    rows = [(row["number"], row.get("sample", 0)) for row in read_rows(run.path / "judged-student.jsonl")]
    assert rows == sorted(rows)
    assert len(rows) == 2 * len(DIFFERING)


def test_a_judge_without_a_chat_template_is_asked_in_plain_text(run: RunDirectory, fake_backend: Made) -> None:
    fake_backend(teacher=lambda prompt, case: "SAME\nbecause", name="plain")
    found = judge(run, "plain:scripted", backend_options={"chat_template": "false"})
    assert found["arms"]["student"]["same"] == len(DIFFERING)


def test_judge_with_position_bias_decides_nothing(run: RunDirectory, fake_backend: Made) -> None:
    fake_backend(teacher=lambda prompt, case: "A", name="leaning")
    found = judge(run, "leaning:scripted")
    pairs = len(DIFFERING)
    assert found["arms"]["student"]["undecided"] == pairs
    assert found["order"] == {"first": pairs, "second": 0, "p": pytest.approx(2 * 0.5**pairs, abs=1e-6)}
    assert found["arms"]["student"]["as_good"]["value"] < 1


def test_reply_without_a_verdict_is_left_out(run: RunDirectory, fake_backend: Made) -> None:
    fake_backend(teacher=lambda prompt, case: "I like both", name="vague")
    found = judge(run, "vague:scripted")
    student = found["arms"]["student"]
    assert student["unreadable"] == len(DIFFERING)
    assert student["as_good"]["n"] == student["identical"]
    assert found["order"] == {"first": 0, "second": 0, "p": None}


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [("A", "A"), (" b.\n", "B"), ("**SAME**", "SAME"), ("A or B", None), ("", None), ("Both", None)],
)
def test_only_a_single_word_is_a_verdict(reply: str, verdict: str | None) -> None:
    assert verdict_in(reply) == verdict


def test_report_contains_and_describes_the_verdicts(run: RunDirectory, fake_backend: Made) -> None:
    fake_backend(teacher=longer, name="fair")
    assert report(run)["judge"] is None
    found = judge(run, "fair:scripted")
    assert json.loads(run.report.read_bytes())["judge"] == found
    sentence = f"at least as good as the teacher's answer on {found['arms']['student']['as_good']['value']:.3f}"
    assert sentence in (run.path / "report.md").read_text()
    assert sentence in Tags((run.path / "report.html").read_text()).text
    before = {path: path.read_bytes() for path in run.path.iterdir() if path.is_file()}
    assert judge(run, "fair:scripted") == found
    assert {path: path.read_bytes() for path in run.path.iterdir() if path.is_file()} == before


def test_nothing_is_asked_again_after_an_interruption(run: RunDirectory, fake_backend: Made) -> None:
    asked: list[str] = []

    def counting(prompt: str, case: str) -> str:
        asked.append(case)
        return longer(prompt, case)

    fake_backend(teacher=counting, name="fair")
    with pytest.raises(BackendError):
        judge(run, "fair:scripted", backend_options={"fail_at": "4"})
    stored = sum(1 for _ in read_rows(run.path / "judged-student.jsonl.part"))
    assert 0 < stored < 2 * len(DIFFERING)
    asked.clear()
    found = judge(run, "fair:scripted")
    assert len(asked) == 2 * len(DIFFERING) - stored
    rows = list(read_rows(run.path / "judged-student.jsonl"))
    assert [(row["number"], row.get("sample", 0)) for row in rows] == sorted(
        (row["number"], row.get("sample", 0)) for row in rows
    )
    assert found["cost"]["prompt_tokens"] == sum(row["prompt_tokens"] for row in rows)


def test_its_cost_is_counted_and_limited(run: RunDirectory, fake_backend: Made) -> None:
    fake_backend(teacher=longer, name="fair")
    prices: dict[str, Any] = {"price_prompt": "1000", "price_sampled": "1000"}
    with pytest.raises(RunError, match="stopped by --max-cost 0.5"):
        judge(run, "fair:scripted", backend_options=prices, max_cost=0.5)
    found = judge(run, "fair:scripted", backend_options=prices, max_cost=50.0)
    cost = found["cost"]
    assert cost["usd"] == pytest.approx((cost["prompt_tokens"] + cost["sampled_tokens"]) / 1000)


def test_verdicts_of_two_judges_are_not_mixed(run: RunDirectory, fake_backend: Made) -> None:
    fake_backend(teacher=longer, name="fair")
    judge(run, "fair:scripted")
    with pytest.raises(RunError, match="was judged by fair:scripted, and its verdicts can't be mixed with others"):
        judge(run, "fake:echo")
    with pytest.raises(RunError, match="was judged with another prompt"):
        judge(run, "fair:scripted", prompt="Which is nicer?")


def test_what_a_query_says_is_not_filled_in(tmp_path: Path, fake_backend: Made) -> None:
    seen: list[tuple[str, str]] = []

    def watching(prompt: str, case: str) -> str:
        seen.append((prompt, case))
        return "SAME"

    fake_backend(teacher=watching, name="fair")
    rows = outcomes(f"{at**5:x} {{a}} {{b}} {{prompt}}" for at in range(40))  # the base repeats them
    judge(build_run(tmp_path / "run", rows, labels=None), "fair:scripted", prompt="Rules: {prompt}")
    assert len(seen) == 2 * 8
    assert all(prompt.startswith("Rules: Name the kind.") for prompt, _ in seen)
    assert all("{a} {b} {prompt}\n\nAnswer A:" in case for _, case in seen)


def test_a_run_that_is_not_evaluated_is_not_judged(tmp_path: Path) -> None:
    run = build_run(tmp_path / "run", ROWS, until="generate")
    with pytest.raises(RunError, match="has not reached that stage"):
        judge(run, "fake:rule")


def test_a_limit_needs_a_price(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pdistill.backends.fake.FakeBackend.prices", lambda backend, model: None)
    with pytest.raises(UsageError, match="--max-cost 1 can't be enforced: the price of fake:rule is unknown"):
        judge(run, "fake:rule", max_cost=1.0)
