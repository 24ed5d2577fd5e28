"""The options of the local backend."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class LocalOptions:
    """Options of the local backend, as `-B key=value`.

    Args:
        device: "cpu", "cuda" or "cuda:1"; "auto" is a CUDA device if there is one.
        dtype: data type of the weights and activations; "auto" is float32 on a CPU, bfloat16 on a GPU that supports it.
        thinking: whether to turn on the chat template's thinking mode.
        chunk: number of consecutive queries that are answered and saved together.
        engine: inference engine: "torch", "vllm", or "auto", which is vLLM if it is installed and can run the model.
        memory: fraction of a GPU's memory that vLLM may use.
        tensor_parallel: number of GPUs over which vLLM splits each layer.
        pipeline_parallel: number of GPUs, or groups of them, over which vLLM distributes the layers.
        quantization: vLLM quantization of the weights (default: as stored).
        alpha: LoRA scale alpha (default: twice the rank).
        targets: names of the layers that get LoRA adapters (default: all linear layers).
        recompute: whether to recompute activations in the backward pass, which saves memory and takes more time.
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
