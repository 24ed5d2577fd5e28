"""Models in GGUF files, converted once to directories that transformers can load."""

import fcntl
import hashlib
import logging
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

from pdistill.core.errors import BackendError, RunError, not_installed
from pdistill.core.files import new_directory

LAYOUT_VERSION = 1
"""Part of a directory's name; changes with every change of the conversion's output."""
FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)

log = logging.getLogger("pdistill")
CausalModels: Any = AutoModelForCausalLM


def convert(name: str, file: Path) -> Path:
    """Return the directory of a GGUF file's model in float32, converting it the first time.

    Raises:
        BackendError: it can't be converted.
        RunError: the directory can't be written.
    """
    if find_spec("gguf") is None:
        raise BackendError(not_installed(f"model '{name}'", "local", "gguf"))
    final = _cache_folder() / _folder_name(file)
    with _locked(final):
        if not final.is_dir():
            log.warning("converting model '%s' once, to '%s'; this can take minutes", name, final)
            with new_directory(final) as part, Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere):
                _write_conversion(name, file, part)
    return final


def _write_conversion(name: str, file: Path, folder: Path) -> None:
    arguments: dict[str, Any] = {"gguf_file": file.name, "local_files_only": True}
    gguf_config = getattr(transformers, "GgufConfig", None)
    quantization = {"quantization_config": gguf_config(dequantize=True)} if gguf_config else {}
    try:
        AutoTokenizer.from_pretrained(str(file.parent), **arguments).save_pretrained(folder)
        model = CausalModels.from_pretrained(str(file.parent), dtype=torch.float32, **arguments, **quantization)
        quantizer = getattr(model, "hf_quantizer", None)
        if quantizer is not None:
            quantizer.remove_quantization_config(model)
        model.save_pretrained(folder)
    except FAILURES as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise BackendError(f"can't convert model '{name}': {reason}") from None


def _cache_folder() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "pdistill" / "models"


def _folder_name(file: Path) -> str:
    """Return a name that identifies the file's content, without reading all of it."""
    stat = file.stat()
    identity = f"{LAYOUT_VERSION} {file.resolve()} {stat.st_size} {stat.st_mtime_ns}"
    return f"{file.stem}-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"


@contextmanager
def _locked(final: Path) -> Iterator[None]:
    """Keep other processes from converting the same file at the same time."""
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        lock = final.with_name(final.name + ".lock").open("w")
    except OSError as error:
        raise RunError(f"can't write '{final}': {(error.strerror or str(error)).lower()}") from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
