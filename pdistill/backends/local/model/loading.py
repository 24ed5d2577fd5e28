"""Finds and loads models: the built-in one, a directory, a GGUF file, a name on the hub. Every error is one line."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.utils import logging

from pdistill.backends.local.model.gguf import convert
from pdistill.backends.local.model.machine import Machine
from pdistill.backends.local.names import (
    BUILTIN,
    SMOLLM2,
    SUFFIX,
    builtin_folder,
    check_name,
    hub_is_resolvable,
    no_such_model,
    smollm2_file,
)
from pdistill.core.contract.interfaces import TrainingDefaults
from pdistill.core.errors import BackendError

DEFAULTS_FILE = "pdistill.json"
SMALL_MODEL_PARAMETERS, MEDIUM_MODEL_PARAMETERS = 50e6, 1e9
"""Numbers of parameters below which the default learning rate is 2e-3 and 1e-3; for larger models it is 1e-4."""

transformers_logging: Any = logging
transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()

CausalModels: Any = AutoModelForCausalLM


@dataclass(frozen=True, slots=True)
class Source:
    """A model: its name as typed by the user, its location (a directory or a hub name), and its configuration."""

    name: str
    location: str
    config: Any
    cached: bool = True

    @property
    def folder(self) -> Path | None:
        """The model's directory; None if its location is a hub name."""
        return Path(self.location) if Path(self.location).is_dir() else None

    @property
    def context(self) -> int | None:
        """The most tokens that the model can hold; None where its configuration does not say."""
        return getattr(self.config.get_text_config(), "max_position_embeddings", None)


def find_model(name: str) -> Source:
    """Return the model of that name, with its configuration but not its weights.

    Raises:
        BackendError: there is no such model.
    """
    check_name(name)
    if name == BUILTIN:
        location = str(builtin_folder())
    elif name == SMOLLM2 or name.endswith(SUFFIX):
        location = str(convert(name, smollm2_file() if name == SMOLLM2 else Path(name).expanduser()))
    elif Path(name).expanduser().is_dir():
        location = str(Path(name).expanduser())
    else:
        return _on_hub(name)
    return Source(name, location, _config(name, location, cached=True))


def _on_hub(name: str) -> Source:
    try:
        return Source(name, name, AutoConfig.from_pretrained(name, local_files_only=True, trust_remote_code=False))
    except (OSError, ValueError):
        pass
    try:
        if not hub_is_resolvable():
            raise OSError
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError):
        raise no_such_model(name) from None
    return Source(name, name, config, cached=False)


def _config(name: str, location: str, cached: bool) -> Any:
    with _one_line_errors(f"can't read the configuration of model '{name}'"):
        return AutoConfig.from_pretrained(location, local_files_only=cached, trust_remote_code=False)


def load_tokenizer(source: Source) -> Any:
    """Return the model's tokenizer.

    Raises:
        BackendError: it can't be loaded.
    """
    with _one_line_errors(f"can't load the tokenizer of model '{source.name}'"):
        return AutoTokenizer.from_pretrained(source.location, local_files_only=source.cached, trust_remote_code=False)


def load_model(source: Source, machine: Machine) -> PreTrainedModel:
    """Return the model with its weights on the machine's device, frozen and in evaluation mode.

    Raises:
        BackendError: it can't be loaded, or weights are missing from its files.
    """
    with _one_line_errors(f"can't load model '{source.name}'"):
        model, info = CausalModels.from_pretrained(
            source.location,
            config=source.config,
            dtype=getattr(torch, machine.dtype),
            local_files_only=source.cached,
            trust_remote_code=False,
            output_loading_info=True,
        )
    if info["missing_keys"]:
        missing = sorted(info["missing_keys"])
        raise BackendError(
            f"model '{source.name}' lacks {len(missing)} of its weights, such as '{missing[0]}'; it is damaged, or not a "
            "causal language model"
        )
    loaded: PreTrainedModel = model.to(machine.device).eval().requires_grad_(False)
    return loaded


def training_defaults(source: Source) -> TrainingDefaults:
    """Return the model's training defaults: those of its directory's pdistill.json, or else by its size.

    Raises:
        BackendError: the file is invalid.
    """
    path = source.folder / DEFAULTS_FILE if source.folder else None
    if path and path.is_file():
        try:
            return TrainingDefaults(**json.loads(path.read_text(encoding="utf-8"))["training"])
        except (ValueError, KeyError, TypeError) as error:
            raise BackendError(f"invalid file '{path}': {error}") from None
    count = parameter_count(source)
    return TrainingDefaults(
        learning_rate=2e-3 if count < SMALL_MODEL_PARAMETERS else 1e-3 if count < MEDIUM_MODEL_PARAMETERS else 1e-4
    )


def parameter_count(source: Source) -> int:
    """Return the model's number of parameters, without loading its weights."""
    with _one_line_errors(f"'{source.name}' is not a causal language model"), torch.device("meta"):
        model = CausalModels.from_config(source.config)
    return sum(parameter.numel() for parameter in model.parameters())


@contextmanager
def _one_line_errors(what: str) -> Iterator[None]:
    """Turn the errors that transformers raises for a bad model into a BackendError of one line."""
    try:
        yield
    except (OSError, ValueError, KeyError, ImportError) as error:
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise BackendError(f"{what}: {first}") from None
