"""Memory is freed: after answers, after training, before the next model."""

from pathlib import Path

import pytest

from pdistill.core.contract.sampling import Sampling
from tests.gpu import internals
from tests.gpu.device import memory_in_use
from tests.gpu.rows import LORA, batch, requests

TOLERANCE = 4096
"""Bytes by which a measurement may be off, for example because torch keeps a constant."""


@pytest.fixture(autouse=True)
def warm(folders: dict[str, Path], device: str, tmp_path: Path) -> None:
    """Before anything is measured, libraries have allocated what they never free, such as cuBLAS its workspaces."""
    use(internals.student(folders["qwen3"], tmp_path / "warm", device), tmp_path)


def use(opened: internals.LocalStudent, tmp_path: Path) -> None:
    """Answer, train, and answer with the trained weights."""
    answer(opened, None)
    with opened.trainer(LORA, None) as worker:
        worker.step(batch(), 1e-3)
        weights = worker.save_weights("final").result()
    answer(opened, weights)


def answer(opened: internals.LocalStudent, weights: object) -> None:
    with opened.sampler(weights) as sampler:  # type: ignore[arg-type]
        assert len(dict(sampler.generate(requests(), Sampling(max_tokens=8)))) == len(requests())


def test_only_the_base_stays_in_memory_after_answers_and_after_training(
    folders: dict[str, Path], device: str, tmp_path: Path
) -> None:
    before = memory_in_use()
    opened = internals.student(folders["qwen3"], tmp_path, device)
    base = opened.opened.base()
    loaded = memory_in_use()
    size = sum(tensor.numel() * tensor.element_size() for tensor in base.parameters())
    assert size <= loaded - before <= 1.5 * size
    for _ in range(2):
        use(opened, tmp_path)
        assert abs(memory_in_use() - loaded) <= TOLERANCE
    del base, opened
    assert abs(memory_in_use() - before) <= TOLERANCE


def test_training_takes_more_memory_while_it_runs(folders: dict[str, Path], device: str, tmp_path: Path) -> None:
    opened = internals.student(folders["qwen3"], tmp_path, device)
    opened.opened.base()
    loaded = memory_in_use()
    with opened.trainer(LORA, None) as worker:
        worker.step(batch(), 1e-3)
        adapter = sum(parameter.numel() * parameter.element_size() for parameter in worker.parameters)
        assert memory_in_use() - loaded >= 3 * adapter
        del worker
    assert abs(memory_in_use() - loaded) <= TOLERANCE
