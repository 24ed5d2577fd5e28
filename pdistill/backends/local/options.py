"""The options of the local backend."""

from dataclasses import dataclass, field
from typing import Literal


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
