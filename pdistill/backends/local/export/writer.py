"""Writes a student as a folder that PEFT or transformers loads without pdistill."""

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
from pdistill.core.exporter import ExportForm

BASE_FOLDER = "base"
"""The folder in an export that holds the base, where the base is to be had nowhere else."""

Settings: Any = GenerationConfig


def write_export(
    source: Source,
    renderer: TemplateRenderer,
    machine: Machine,
    weights: Path | None,
    form: ExportForm,
    directory: Path,
) -> None:
    """Write a student into a folder that exists and is empty; its weights are in float32.

    Args:
        source: the base model.
        renderer: the student's.
        machine: where the weights are added up.
        weights: the folder of the student's adapter; None: the base is written.
        form: what the export shall be.

    Raises:
        BackendError: the base or the adapter can't be read, or no chat template has the form of the student's prompt.
    """
    template = export_template(renderer, form.asked)
    base = load_model(source, replace(machine, dtype="float32"))
    settings = _settings(base, renderer, form.max_tokens)
    if weights is None or form.merge:
        _save(base if weights is None else adapter.merge(base, weights), settings, directory)
    else:
        location = _place(source)
        if location == BASE_FOLDER:
            _save(base, settings, directory / BASE_FOLDER)
        _copy_adapter(weights, location, directory)
    settings.save_pretrained(directory)
    tokenizer = copy.deepcopy(renderer.tokenizer)
    tokenizer.chat_template = template
    tokenizer.clean_up_tokenization_spaces = False
    tokenizer.save_pretrained(directory)
    _open_as_usual(directory)


def _open_as_usual(directory: Path) -> None:
    """Let weights be read by whom other files may be read: transformers writes them for the user alone."""
    usual = (directory / GENERATION_CONFIG_NAME).stat().st_mode
    for path in directory.rglob("*.safetensors"):
        path.chmod(usual)


def _place(source: Source) -> str:
    """Return where an adapter's users find its base: a hub name, the folder that was named, else beside the adapter."""
    if source.folder is None:
        return source.location
    named = Path(source.name).expanduser()
    return str(source.folder.resolve()) if named == source.folder else BASE_FOLDER


def _settings(model: Any, renderer: TemplateRenderer, max_tokens: int) -> Any:
    """Return how the student decodes: greedily, up to its end tokens."""
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
