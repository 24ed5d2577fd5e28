"""Batches after a copied prefix: rows stay right when others leave, and when their reserved memory runs out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from pdistill.backends.local.torch_engine import padded_engine
from pdistill.backends.local.torch_engine.batch_limits import batch_limits
from pdistill.backends.local.torch_engine.native_model import NativeModel
from pdistill.backends.local.torch_engine.padded_engine import PaddedEngine
from tests.backends.tiny_models import make

Models: Any = AutoModelForCausalLM
SHARED = list(range(5, 40))


def engine(family: str, folder: Path) -> PaddedEngine:
    model = Models.from_pretrained(make(family, folder)).eval()
    return PaddedEngine(NativeModel(model, family), batch_limits(model))


@pytest.mark.parametrize("family", ["llama", "mistral"])
@torch.inference_mode()
def test_rows_that_stay_are_right_when_others_leave(tmp_path: Path, family: str) -> None:
    runner = engine(family, tmp_path)
    shared = SHARED if runner.shares_prefix else []
    rows = [[41, 42, 43], [50, 51, 52], [60, 61, 62]]
    batch = runner.start(rows, runner.native.prefix(shared) if shared else None, 4)
    batch.first()
    batch.next([7, 8, 9])
    batch.keep([0, 2])
    logits = batch.next([10, 11])[:, -1]
    whole = [[*shared, 41, 42, 43, 7, 10], [*shared, 60, 61, 62, 9, 11]]
    expected = runner.native.model(torch.tensor(whole), use_cache=False).logits[:, -1]
    assert torch.allclose(logits, expected, atol=1e-4)


def test_a_batch_longer_than_its_reserved_memory_grows_and_shrinks_as_rows_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = engine("llama", tmp_path)
    rows, most, sizes = [[41, 42], [50], [60, 61, 62], [44]], [2, 9, 1, 3], []

    def answers() -> list[list[int]]:
        given: list[list[int]] = [[] for _ in rows]

        def choose(numbers: Sequence[int], logits: torch.Tensor) -> list[int | None]:
            for number, token in zip(numbers, logits.argmax(-1).tolist(), strict=True):
                given[number].append(token)
            return [given[number][-1] if len(given[number]) < most[number] else None for number in numbers]

        for _ in runner.decode(rows, runner.native.prefix(SHARED), 9, choose):
            pass
        return given

    expected = answers()
    assert [len(tokens) for tokens in expected] == most
    original = padded_engine.PaddedBatch.next

    def counted(self: padded_engine.PaddedBatch, tokens: Sequence[int]) -> torch.Tensor:
        sizes.append(len(tokens))
        return original(self, tokens)

    monkeypatch.setattr(padded_engine.PaddedBatch, "next", counted)
    monkeypatch.setattr(padded_engine, "RESERVED_TOKENS", 2)
    monkeypatch.setattr("pdistill.backends.local.torch_engine.kv_cache.GROWTH_TOKENS", 3)
    assert answers() == expected
    assert sizes[0] == len(rows)
    assert sizes[-1] == 1
