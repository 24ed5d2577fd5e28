"""One device for all tests of this folder: a CUDA device, or the CPU for a dry run of the tests themselves."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.backends.tiny_models import make
from tests.gpu.device import DEVICE, facts, missing
from tests.gpu.internals import set_up

SHAPES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16},
    "qwen3": {"num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 32},
    "mistral": {"num_attention_heads": 2},
    "gemma3": {"num_attention_heads": 4, "final_logit_softcapping": 5.0},
    "gpt2": {},
    "bloom": {},
}


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark every test here; warnings are shown and are not errors, because those of a GPU are not known yet."""
    for mark in (pytest.mark.slow, pytest.mark.gpu, pytest.mark.filterwarnings("default")):
        item.add_marker(mark)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip from here, so that all tests that lack the same thing share one line of the summary."""
    if reason := missing(vllm=item.get_closest_marker("vllm") is not None):
        pytest.skip(reason)


def pytest_report_header() -> list[str]:
    """Return what the report of a failure must contain."""
    return facts()


@pytest.fixture(scope="session", autouse=True)
def device() -> Iterator[str]:
    """The device, set up as a run does before anything is computed: cuBLAS reads its settings once."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    set_up(DEVICE)
    torch.use_deterministic_algorithms(True, warn_only=True)  # on a CPU too: it fills uninitialized memory with NaN
    yield DEVICE
    torch.use_deterministic_algorithms(before[0], warn_only=before[1])


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of a small random model of each family."""
    return {family: make(family, tmp_path_factory.mktemp(family), **shape) for family, shape in SHAPES.items()}
