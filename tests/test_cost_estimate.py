"""What a dry run foresees, against what the run then spends."""

from pathlib import Path
from typing import Any

import pytest

from pdistill.core import pipeline
from pdistill.core.preview import preview
from tests.runs import fake_config

PRICES = {"price_prompt": "3", "price_sampled": "15", "price_trained": "6"}
STAGES = ("generate", "train", "evaluate")


@pytest.mark.parametrize(
    "changes",
    [{}, {"temperature": 0.7, "samples": 3}, {"student": "fake:echo"}, {"epochs": 2, "batch_size": 4}],
    ids=["greedy", "drawn", "other-student", "given-epochs"],
)
def test_prompts_are_exact_and_the_rest_is_never_less_than_what_is_spent(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    config = fake_config(tmp_path, tmp_path / "run", max_tokens=6, backend_options=PRICES, **changes)
    foreseen = preview(config)
    assert not config.directory.exists()
    report = pipeline.run(config)
    spent = report["cost"]
    for stage in ("generate", "evaluate"):
        assert foreseen.cost[stage]["prompt_tokens"] == spent[stage]["prompt_tokens"]
        assert foreseen.cost[stage]["sampled_tokens"] >= spent[stage]["sampled_tokens"]
    assert foreseen.cost["train"]["sequence_tokens"] >= spent["train"]["sequence_tokens"]
    assert all(foreseen.cost[stage]["usd"] >= spent[stage]["usd"] > 0 for stage in STAGES)
    assert foreseen.cost["usd"] == pytest.approx(sum(foreseen.cost[stage]["usd"] for stage in STAGES), abs=2e-6)
    held_out = report["n"]["eval"] + report["n"]["eval_rejected"]
    assert (foreseen.train, foreseen.held_out) == (30 - held_out, held_out)
