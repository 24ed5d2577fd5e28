"""Training that is stopped and resumed from a saved state ends in the same bytes as training that is not.

Only deterministic operations are allowed here, so that any difference comes from the saved state.
"""

from pathlib import Path

import pytest
import torch

from pdistill.core.contract.interfaces import StateURI
from tests.gpu import internals
from tests.gpu.device import ON_GPU, strictly_deterministic
from tests.gpu.rows import LORA, batch

STEPS = 6


def trained(folder: Path, directory: Path, device: str, dtype: internals.Dtype, stops: tuple[int, ...]) -> bytes:
    """The adapter's file after all steps; at each stop everything but the saved state is dropped."""
    resume: StateURI | None = None
    done = 0
    for stop in (*stops, STEPS):
        opened = internals.student(folder, directory, device, dtype)
        with opened.trainer(LORA, resume) as worker, strictly_deterministic():
            assert worker.steps == done
            for step in range(done, stop):
                worker.step(batch(), 1e-2 * (STEPS - step) / STEPS)
            resume = worker.save_state(f"step-{stop}").result()
            saved = worker.save_weights("final").result()
        done = stop
    return (directory / saved / internals.WEIGHTS_FILE).read_bytes()


@pytest.mark.parametrize("family", ["llama", "gemma3", "bloom"])
@pytest.mark.parametrize("dtype", ["auto", "float32", "float16"])
def test_resumed_training_ends_in_the_same_bytes(
    folders: dict[str, Path], device: str, family: str, dtype: internals.Dtype, tmp_path: Path
) -> None:
    whole = trained(folders[family], tmp_path / "whole", device, dtype, ())
    assert trained(folders[family], tmp_path / "again", device, dtype, ()) == whole
    assert trained(folders[family], tmp_path / "once", device, dtype, (1,)) == whole
    assert trained(folders[family], tmp_path / "thrice", device, dtype, (2, 3, 5)) == whole


def test_a_saved_state_holds_the_state_of_the_devices_random_number_generator(
    folders: dict[str, Path], device: str, tmp_path: Path
) -> None:
    opened = internals.student(folders["llama"], tmp_path, device)

    def numbers() -> list[torch.Tensor]:
        return [torch.rand(3), torch.rand(3, device=device)]

    with opened.trainer(LORA, None) as worker:
        worker.step(batch(), 1e-3)
        numbers()
        state = worker.save_state("step-1").result()
        expected = numbers()
    stored = torch.load(tmp_path / state / internals.STATE_FILE, weights_only=True)
    assert ("cuda_random" in stored) == ON_GPU
    with opened.trainer(LORA, state):
        resumed = numbers()
    assert all(map(torch.equal, resumed, expected))
