"""LoRA adapters on a loaded model that is not changed: the student has its own layers and shares the base's tensors."""

import copy
import json
import warnings
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from pdistill.backends.local.names import BUILTIN
from pdistill.core.contract.interfaces import Lora
from pdistill.core.errors import BackendError

M = TypeVar("M", bound=nn.Module)

WEIGHTS_FILE, CONFIG_FILE = "adapter_model.safetensors", "adapter_config.json"
TIED_WARNING = "Model has `tie_word_embeddings=True` and a tied layer"
BUILTIN_BASE = "pdistill/builtin"
"""The base that an adapter of the built-in model names: the same on every machine."""


def attach(base: PreTrainedModel, lora: Lora, alpha: float | None, targets: Sequence[str]) -> PeftModel:
    """Return a student: the base's weights, shared and frozen, with a new adapter that depends only on `lora.seed`.

    Raises:
        BackendError: the model has no layers with the names in `targets`, or PEFT rejects the rank.
    """
    scale: Any = lora.alpha if lora.alpha is not None else alpha if alpha is not None else 2 * lora.rank
    names = list(targets) or _linear_names(base)
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=scale,
        target_modules=names,
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in base.modules()),
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng():
        torch.manual_seed(lora.seed)
        try:
            return _add_adapter(base, config)
        except ValueError as error:
            if not any(name in _linear_names(base) for name in names):
                choices = ", ".join(_linear_names(base))
                raise BackendError(
                    f"invalid value '{','.join(targets)}' for option targets of backend local: the model has no such layers; "
                    f"choose from {choices}"
                ) from None
            raise BackendError(f"can't make a LoRA adapter: {str(error).splitlines()[0]}") from None


def shared_copy(model: M) -> M:
    """Return a copy of the model's modules that shares its tensors."""
    tensors = [*model.parameters(), *model.buffers()]
    return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})


def merge(base: PreTrainedModel, folder: Path) -> Any:
    """Return the base with an adapter merged into its weights; the base itself is not changed.

    Raises:
        BackendError: the adapter can't be read.
    """
    config = read_config(folder)
    student = _add_adapter(base, config)
    load(student, folder)
    layers: list[Any] = [module for module in student.modules() if isinstance(module, LoraLayer)]
    for layer in layers:
        inner = layer.get_base_layer()
        weight = inner.weight.float() + layer.get_delta_weight("default").float()
        inner.weight = nn.Parameter(weight.to(inner.weight.dtype), requires_grad=False)
    merged = student.unload().eval().requires_grad_(False)
    if merged.get_output_embeddings().weight is not merged.get_input_embeddings().weight:
        merged.config.get_text_config().tie_word_embeddings = merged.config.tie_word_embeddings = False
    return merged


def _add_adapter(base: PreTrainedModel, config: LoraConfig) -> PeftModel:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # PEFT uses names that transformers has deprecated
        warnings.filterwarnings("ignore", TIED_WARNING)  # `merge` unties them
        return get_peft_model(shared_copy(base), config).eval()


def adapter_tensors(student: PeftModel) -> dict[str, torch.Tensor]:
    """Return the adapter's weights under PEFT's names, in float32 on the CPU."""
    state = get_peft_model_state_dict(student, save_embedding_layers=False)
    return {name: tensor.detach().float().cpu().contiguous() for name, tensor in state.items()}


def write(student: PeftModel, folder: Path, base_name: str) -> None:
    """Write the adapter into a directory in PEFT's format: the same bytes for the same weights, on any machine."""
    save_file(adapter_tensors(student), folder / WEIGHTS_FILE, metadata={"format": "pt"})
    config = student.peft_config["default"].to_dict()
    config["base_model_name_or_path"] = BUILTIN_BASE if base_name == BUILTIN else base_name
    config["inference_mode"] = True
    text = json.dumps(_plain(config), indent=2, sort_keys=True)
    (folder / CONFIG_FILE).write_text(text + "\n", encoding="utf-8")


def read_config(folder: Path) -> LoraConfig:
    """Return the PEFT configuration in a directory.

    Raises:
        BackendError: it can't be read.
    """
    try:
        row = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
        kept = {key: value for key, value in row.items() if key not in ("peft_type", "base_model_name_or_path")}
        return LoraConfig(**kept)
    except (OSError, ValueError, TypeError) as error:
        raise BackendError(f"can't read the adapter in '{folder}': {error}") from None


def load(student: PeftModel, folder: Path) -> None:
    """Load the adapter weights in a directory into the student.

    Raises:
        BackendError: they can't be read, or belong to another model.
    """
    try:
        tensors = load_file(folder / WEIGHTS_FILE)
    except (OSError, SafetensorError) as error:
        raise BackendError(f"can't read the adapter in '{folder}': {error}") from None
    expected = {name: tensor.shape for name, tensor in adapter_tensors(student).items()}
    if expected != {name: tensor.shape for name, tensor in tensors.items()}:
        raise BackendError(f"the adapter in '{folder}' belongs to another model or has another rank")
    set_peft_model_state_dict(student, tensors)


def trainable_parameters(student: PeftModel) -> list[nn.Parameter]:
    """Return the parameters that are trained, always in the same order."""
    return [parameter for parameter in student.parameters() if parameter.requires_grad]


def _linear_names(base: Any) -> list[str]:
    """Return the names of all linear layers except the output layer."""
    output = base.get_output_embeddings()
    linear = [
        name for name, module in base.named_modules() if isinstance(module, nn.Linear | Conv1D) and module is not output
    ]
    return sorted({name.rpartition(".")[2] for name in linear})


def _plain(value: Any) -> Any:
    """Return a value as JSON has it, with sets as sorted lists."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(_plain(part) for part in value)
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value.value if isinstance(value, Enum) else value
