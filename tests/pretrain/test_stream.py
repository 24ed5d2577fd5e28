"""The stream of batches: settled by seed and step, and never a text that is reserved."""

import json
import random
from pathlib import Path

import pytest

pytest.importorskip("anyascii")
pytest.importorskip("pypinyin")
pytest.importorskip("wordfreq")
pytest.importorskip("torch")

from pretrain import draws, stream
from pretrain.train import GO_ON_SHARE, share_of_rate


def test_reserved_texts_are_read_by_their_words_alone(tmp_path: Path) -> None:
    (tmp_path / "de.jsonl").write_text(json.dumps({"query": "Guten Tag, WELT!"}) + "\n", encoding="utf-8")
    (tmp_path / "number.jsonl").write_text(json.dumps({"query": "!!! ??"}) + "\n", encoding="utf-8")

    assert stream.read_reserved(tmp_path) == {"guten tag welt"}
    assert stream.bare_words("guten tag - welt") == "guten tag welt"


def test_training_draws_more_of_the_hard_kinds_than_measuring() -> None:
    def count(kinds: dict[str, float]) -> int:
        rng = random.Random(1)
        return sum(draws.usual(rng, kinds)[0] in {"mixed", "even", "short", "shared"} for _ in range(2000))

    assert set(draws.TRAINED_KINDS) == set(draws.KINDS)
    assert count(draws.TRAINED_KINDS) > count(draws.KINDS)


def test_rate_rises_and_falls_and_is_lower_when_training_continues() -> None:
    fresh = [share_of_rate(step, 1000) for step in range(1000)]
    going_on = [share_of_rate(step, 1000, goes_on=True) for step in range(1000)]

    assert max(fresh) == 1.0
    assert max(going_on) <= GO_ON_SHARE
    assert fresh[0] < fresh[30] < fresh[59]
    assert going_on[-1] < 0.06 < going_on[500]
