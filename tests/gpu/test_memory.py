"""Memory is given back: after answers, after a training, before the next model."""

from pathlib import Path

import pytest

from pdistill.core.contract.sampling import Sampling
from tests.gpu import internals
from tests.gpu.device import held
from tests.gpu.rows import LORA, batch, requests

PROBE = 4096
"""Bytes that a measurement may be off, such as by a constant that torch keeps."""


@pytest.fixture(autouse=True)
def warm(folders: dict[str, Path], device: str, tmp_path: Path) -> None:
    """What libraries keep for good, such as cuBLAS its workspaces, is there before anything is measured."""
    use(internals.student(folders["qwen3"], tmp_path / "warm", device), tmp_path)


def use(opened: internals.LocalStudent, tmp_path: Path) -> None:
    """Answer, train, answer by what was trained."""
    answer(opened, None)
    with opened.trainer(LORA, None) as worker:
        worker.step(batch(), 1e-3)
        weights = worker.save_weights("final").result()
    answer(opened, weights)


def answer(opened: internals.LocalStudent, weights: object) -> None:
    with opened.sampler(weights) as sampler:  # type: ignore[arg-type]
        assert len(dict(sampler.generate(requests(), Sampling(max_tokens=8)))) == len(requests())


def test_only_the_base_stays_after_answers_and_after_a_training(
    folders: dict[str, Path], device: str, tmp_path: Path
) -> None:
    before = held()
    opened = internals.student(folders["qwen3"], tmp_path, device)
    base = opened.opened.base()
    loaded = held()
    size = sum(tensor.numel() * tensor.element_size() for tensor in base.parameters())
    assert size <= loaded - before <= 1.5 * size
    for _ in range(2):
        use(opened, tmp_path)
        assert abs(held() - loaded) <= PROBE
    del base, opened
    assert abs(held() - before) <= PROBE


def test_a_training_holds_more_while_it_runs(folders: dict[str, Path], device: str, tmp_path: Path) -> None:
    opened = internals.student(folders["qwen3"], tmp_path, device)
    opened.opened.base()
    loaded = held()
    with opened.trainer(LORA, None) as worker:
        worker.step(batch(), 1e-3)
        adapter = sum(parameter.numel() * parameter.element_size() for parameter in worker.parameters)
        assert held() - loaded >= 3 * adapter
        del worker
    assert abs(held() - loaded) <= PROBE
