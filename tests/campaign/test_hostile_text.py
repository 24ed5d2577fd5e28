"""Queries and answers that something could obey: nothing that is shown or exchanged holds them unescaped."""

import json
from pathlib import Path

import pytest

from pdistill.core.escape import lines
from tests.campaign.draws import CASES, TEXTS, draws, invoke
from tests.runs import write_task

pytestmark = pytest.mark.campaign


@pytest.mark.parametrize("case", CASES)
def test_hostile_queries_and_labels(case: int, tmp_path: Path) -> None:
    random = draws("hostile", case)
    hostile = [text for text in TEXTS if text.strip()]
    words = [f"{random.choice(hostile)} {random.choice(hostile)} {at}" for at in range(30)]
    label = random.choice(hostile).replace("\n", " ").strip()[:40]
    prompt, run = write_task(tmp_path)[0], tmp_path / "run"
    queries = tmp_path / "hostile.jsonl"
    rows = [{"query": text, "id": f"{text} {at}", "slices": [random.choice(hostile)]} for at, text in enumerate(words)]
    queries.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    invoke(
        "run",
        "--prompt",
        prompt,
        "--queries",
        queries,
        "--backend",
        "fake",
        "--run-dir",
        run,
        "-B",
        f"answers={label},other",
    )
    if not (run / "report.json").exists():
        return
    for command in (
        ("report", run),
        ("report", run, "--json"),
        ("sample", run, random.choice(hostile)),
        ("check", run),
    ):
        invoke(*command)
    for name in ("report.json", "report.md", "report.html"):
        text = (run / name).read_text("utf-8")
        assert lines(text) == text, name
    assert "<script>alert" not in (run / "report.html").read_text("utf-8")
