"""What a stage stores about the device, and what is on the device."""

import os
from pathlib import Path

import pytest
import torch

from pdistill.core.contract.sampling import Sampling
from pdistill.core.errors import BackendError
from tests.gpu import internals
from tests.gpu.device import ON_GPU, memory_in_use
from tests.gpu.internals import batch_limits, check_device
from tests.gpu.rows import LORA, batch, requests


def test_a_gpu_is_the_default_and_computes_in_bfloat16_where_it_supports_that(device: str) -> None:
    stored = internals.resolved("auto" if ON_GPU else device, engine="torch")
    assert stored.device == ("cuda" if ON_GPU else "cpu")
    native = ON_GPU and torch.cuda.is_bf16_supported(including_emulation=False)
    assert stored.dtype == ("bfloat16" if native else "float32")
    assert internals.resolved(device, dtype="float16").dtype == "float16"


def test_a_device_that_does_not_exist_is_an_error() -> None:
    count = torch.cuda.device_count()
    with pytest.raises(BackendError, match=f"there is no device 'cuda:{count}': torch sees {count} CUDA devices"):
        check_device(f"cuda:{count}")


def test_operations_are_deterministic_where_possible() -> None:
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.is_deterministic_algorithms_warn_only_enabled()
    assert not ON_GPU or os.environ["CUBLAS_WORKSPACE_CONFIG"]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_weights_are_on_the_device_in_the_dtype(folders: dict[str, Path], device: str, dtype: internals.Dtype) -> None:
    loaded = internals.model(folders["llama"], device, dtype)
    assert {(tensor.device.type, tensor.dtype) for tensor in loaded.parameters()} == {
        (torch.device(device).type, getattr(torch, dtype))
    }
    limits = batch_limits(loaded)
    assert limits.kv_bytes_per_token == 2 * 2 * 64 * loaded.dtype.itemsize
    assert (limits.tokens, limits.max_rows) == ((16384, 2048) if ON_GPU else (1024, 256))


def test_the_initial_adapter_is_the_same_on_every_device(folders: dict[str, Path], device: str, tmp_path: Path) -> None:
    initial = []
    for each in ("cpu", device):
        with internals.student(folders["llama"], tmp_path, each, "float32").trainer(LORA, None) as worker:
            initial.append(internals.weights(worker.student))
    assert torch.equal(*initial)
    assert initial[0].any()


def test_the_second_gpu_does_all_the_work(folders: dict[str, Path], tmp_path: Path) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("there is no second CUDA device")
    memory_in_use()
    before = torch.cuda.memory_allocated(0)
    opened = internals.student(folders["llama"], tmp_path, "cuda:1")
    with opened.trainer(LORA, None) as worker:
        worker.step(batch(), 1e-3)
        state = worker.save_state("step-1").result()
        weights = worker.save_weights("step-1").result()
    with opened.trainer(LORA, state) as worker:
        worker.step(batch(), 1e-3)
        assert {parameter.device for parameter in worker.parameters} == {torch.device("cuda:1")}
    with opened.sampler(weights) as sampler:
        assert len(dict(sampler.generate(requests(), Sampling(max_tokens=4)))) == len(requests())
    memory_in_use()
    assert torch.cuda.memory_allocated(0) == before
