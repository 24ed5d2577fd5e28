"""Writes a student to a directory that PEFT or transformers can load without pdistill."""

import copy
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import GenerationConfig
from transformers.utils import GENERATION_CONFIG_NAME

from pdistill.backends.local.export.chat_template import export_template
from pdistill.backends.local.model import adapter
from pdistill.backends.local.model.loading import Source, load_model
from pdistill.backends.local.model.machine import Machine
from pdistill.backends.local.model.stop_rules import end_tokens
from pdistill.backends.rendering import TemplateRenderer
from pdistill.core.contract.exporter import ExportSpec

BASE_FOLDER = "base"
"""The subdirectory of an export for the base model, where it can be found nowhere else."""

Settings: Any = GenerationConfig


def write_export(
    source: Source,
    renderer: TemplateRenderer,
    machine: Machine,
    weights: Path | None,
    form: ExportSpec,
    directory: Path,
) -> None:
    """Write a student to an existing empty directory, with its weights in float32.

    Args:
        source: the base model.
        renderer: the student's renderer.
        machine: where the weights are merged.
        weights: the directory of the student's adapter; None is the base.
        form: what the export must be like.

    Raises:
        BackendError: the base or the adapter can't be read, or no chat template can render the student's prompt.
    """
    template = export_template(renderer, form.asked)
    base = load_model(source, replace(machine, dtype="float32"))
    settings = _settings(base, renderer, form.max_tokens)
    if weights is None or form.merge:
        _save(base if weights is None else adapter.merge(base, weights), settings, directory)
    else:
        location = _base_location(source)
        if location == BASE_FOLDER:
            _save(base, settings, directory / BASE_FOLDER)
        _copy_adapter(weights, location, directory)
    settings.save_pretrained(directory)
    tokenizer = copy.deepcopy(renderer.tokenizer)
    tokenizer.chat_template = template
    tokenizer.clean_up_tokenization_spaces = False
    tokenizer.save_pretrained(directory)
    _share_permissions(directory)


def _share_permissions(directory: Path) -> None:
    """Give the weights the permissions of the other files: transformers writes them for the owner only."""
    mode = (directory / GENERATION_CONFIG_NAME).stat().st_mode
    for path in directory.rglob("*.safetensors"):
        path.chmod(mode)


def _base_location(source: Source) -> str:
    """Return where users of an adapter find its base: a hub name, the directory as given, or else a subdirectory of the export."""
    if source.folder is None:
        return source.location
    given = Path(source.name).expanduser()
    return str(source.folder.resolve()) if given == source.folder else BASE_FOLDER


def _settings(model: Any, renderer: TemplateRenderer, max_tokens: int) -> Any:
    """Return the generation settings of the student: greedy, up to its end tokens."""
    ends = sorted(end_tokens(getattr(model.generation_config, "eos_token_id", None), renderer))
    pad = renderer.tokenizer.pad_token_id
    return Settings(
        do_sample=False, eos_token_id=ends, pad_token_id=ends[0] if pad is None else pad, max_new_tokens=max_tokens
    )


def _save(model: Any, settings: Any, directory: Path) -> None:
    model.generation_config = settings
    model.save_pretrained(directory)


def _copy_adapter(weights: Path, base: str, directory: Path) -> None:
    shutil.copyfile(weights / adapter.WEIGHTS_FILE, directory / adapter.WEIGHTS_FILE)
    config = json.loads((weights / adapter.CONFIG_FILE).read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = base
    text = json.dumps(config, indent=2, sort_keys=True)
    (directory / adapter.CONFIG_FILE).write_text(text + "\n", encoding="utf-8")
