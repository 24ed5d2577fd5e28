"""Loads the tokenizer of a model that only the service has, from a directory, the hub's local cache or the hub."""

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer
from transformers.utils import logging

from pdistill.core.errors import BackendError

quiet: Any = logging
quiet.set_verbosity_error()
quiet.disable_progress_bar()


def load_tokenizer(model: str, location: str | None) -> Any:
    """Return the tokenizer in a directory or with a hub name, by default the model's own.

    Raises:
        BackendError: it can't be loaded; suggests how to choose another one.
    """
    place = str(Path(location).expanduser()) if location else hub_name(model)
    for cached in (True, False):
        try:
            return AutoTokenizer.from_pretrained(place, local_files_only=cached, trust_remote_code=False)
        except (OSError, ValueError, KeyError, ImportError) as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
    raise BackendError(
        f"can't load the tokenizer '{place}': {reason}; choose a directory or hub name with -B tokenizer=PATH"
    )


def hub_name(model: str) -> str:
    """Return the hub name of a model of the service, whose name may have a variant: ORG/MODEL/VARIANT or ORG/MODEL:VARIANT."""
    return "/".join(model.partition(":")[0].split("/")[:2])
