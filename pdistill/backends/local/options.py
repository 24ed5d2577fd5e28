"""The options of the local backend."""

from dataclasses import dataclass
from typing import Literal

from pdistill.backends.local.names import check_name
from pdistill.core.contract.optionfields import documented, option


@documented
@dataclass(frozen=True, slots=True)
class LocalOptions:
    """Options of the local backend, as `-B key=value`."""

    device: str = option("auto", "Device: cpu, cuda or cuda:1; auto: a CUDA device if there is one")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = option(
        "auto",
        "Data type of weights and activations; auto: float32 on a CPU, bfloat16 on a GPU that supports it",
    )
    thinking: bool = option(False, "Use the thinking mode of the chat template")
    chunk: int = option(512, "Consecutive queries that are answered and saved together", minimum=1, maximum=10**6)
    engine: Literal["auto", "torch", "vllm"] = option(
        "auto", "Inference engine; auto: vLLM if it is installed and can run the model"
    )
    memory: float = option(0.9, "Fraction of a GPU's memory that vLLM may use", above=0, maximum=1, changes_rows=False)
    tensor_parallel: int = option(1, "GPUs over which vLLM splits each layer", minimum=1, maximum=1_000)
    pipeline_parallel: int = option(
        1, "GPUs, or groups of them, over which vLLM distributes the layers", minimum=1, maximum=1_000
    )
    quantization: str | None = option(None, "vLLM's quantization of the weights", default_text="as stored")
    alpha: float | None = option(None, "LoRA scale alpha", default_text="twice the rank", above=0, maximum=10**6)
    targets: tuple[str, ...] = option(
        (), "Names of the layers that get LoRA adapters", default_text="all linear layers"
    )
    recompute: bool = option(
        False, "Recompute activations in the backward pass, which saves memory and takes more time"
    )

    def check_model(self, name: str) -> None:
        """Guarantee that the name of a model is not mistyped, as far as that can be told without torch.

        Raises:
            BackendError: there is no such model.
        """
        check_name(name)
