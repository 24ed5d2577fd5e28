"""The local backend: any transformers causal model on this machine, by torch; students are PEFT LoRA adapters."""

import os
from dataclasses import dataclass, field
from typing import Literal

from pdistill.backends.packages import needing
from pdistill.core.contract.hookspecs import hookimpl
from pdistill.core.contract.interfaces import Backend
from pdistill.core.contract.registry import Registry
from pdistill.core.errors import UsageError

SPINS = "30000"
"""How often threads look for work before they sleep, a tenth of what OpenMP (GNU's) does by itself.

Where other programs want the processors too, threads that spin keep them from those that compute. Threads that sleep at
once (OMP_WAIT_POLICY=PASSIVE) take half as long again on an idle machine.
"""
NEEDED = ("torch", "transformers", "peft", "safetensors", "jinja2")


@dataclass(frozen=True, slots=True)
class LocalOptions:
    """What `-B key=value` sets.

    Args:
        device: "cpu", "cuda" or "cuda:1"; "auto" is a CUDA device where there is one.
        dtype: what the model computes in; "auto" is float32 on a CPU, bfloat16 on a GPU that has it.
        thinking: whether the chat template is asked for the model's thinking mode.
        chunk: consecutive queries that are answered, and kept, together.
        engine: what answers: "torch", "vllm", or "auto", which is vLLM where it is installed and runs the model.
        memory: the share of a GPU's memory that vLLM may take.
        tensor_parallel: GPUs that vLLM splits each layer over.
        pipeline_parallel: GPUs, or groups of them, that vLLM spreads the layers over.
        quantization: how vLLM quantizes the weights; none is as they are stored.
        alpha: the scale of LoRA students; none is twice the rank.
        targets: names of the layers that LoRA students change; none is all linear layers.
        recompute: whether training computes activations again for the backward pass, which takes less memory and more time.
    """

    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    thinking: bool = False
    chunk: int = 512
    engine: Literal["auto", "torch", "vllm"] = "auto"
    memory: float = field(default=0.9, metadata={"changes_rows": False})
    tensor_parallel: int = 1
    pipeline_parallel: int = 1
    quantization: str | None = None
    alpha: float | None = None
    targets: tuple[str, ...] = ()
    recompute: bool = False


def create(options: LocalOptions) -> Backend:
    """Return the local backend.

    Raises:
        BackendError: one of the packages that it needs is not installed.
        UsageError: an option's value is out of range.
    """
    if options.chunk < 1:
        raise UsageError(f"option chunk of backend local: {options.chunk} won't do, it must be at least 1")
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)  # read when torch is loaded
    with needing("local", NEEDED):
        from pdistill.backends.local.backend import LocalBackend
    return LocalBackend(options)


@hookimpl
def pdistill_register_backends(backends: Registry[Backend]) -> None:
    """Register the local backend."""
    backends.register("local", create, options=LocalOptions, summary="transformers models on this machine, by torch")
