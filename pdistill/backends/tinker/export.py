"""Downloads a trained adapter in PEFT's format, and stores a note that says where the service keeps its weights."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import httpx
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from pdistill.backends.remote.sender import is_transient
from pdistill.backends.tinker.connection import Connection
from pdistill.backends.tinker.failures import detail
from pdistill.backends.tinker.tokenizer import hub_name
from pdistill.core.contract.interfaces import WeightsURI
from pdistill.core.errors import BackendError, RunError
from pdistill.core.files import write_file

NOTE, CONFIG, WEIGHTS = "remote.json", "adapter_config.json", "adapter_model.safetensors"
CARD = "README.md"
"""The model card made by the service, which is not kept: it contains paths on the service's machine."""
PATIENCE_SECONDS, MAX_PAUSE_SECONDS, BLOCK_BYTES = 300.0, 30.0, 1 << 20


@dataclass(frozen=True, slots=True)
class Note:
    """The contents of adapter/remote.json.

    Args:
        weights: URI of the weights for sampling on the service.
        model: the base model's name on the service.
        checked: whether the adapter on this machine was found to be the same model.
        reason: why it was not checked, or how it differs.
        base: directory or hub name of the base model's weights on this machine, if it was checked.
        examples: number of held-out examples that both models scored.
        prompt_tokens: tokens sent to the service for them in total; it sampled one more token per example.
        difference: mean absolute difference of the log-probabilities, in nats per token.
        tolerance: the largest difference that counts as the same model.
    """

    weights: WeightsURI
    model: str
    checked: bool = False
    reason: str | None = None
    base: str | None = None
    examples: int = 0
    prompt_tokens: int = 0
    difference: float | None = None
    tolerance: float | None = None


def write_note(note: Note, directory: Path) -> None:
    """Write the note into the directory.

    Raises:
        RunError: it can't be written.
    """
    write_file(directory / NOTE, (json.dumps(asdict(note), indent=2, ensure_ascii=False) + "\n").encode())


def read_note(directory: Path) -> Note:
    """Return the note in a directory.

    Raises:
        BackendError: it is missing or damaged.
    """
    path = directory / NOTE
    try:
        return Note(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        raise BackendError(
            f"'{path}' is missing or damaged, so the student's weights on the service can't be found; restore the file"
        ) from None


def download_adapter(
    connection: Connection, download: str | BackendError, weights: WeightsURI, model: str, directory: Path
) -> None:
    """Write the note into the directory, and the adapter if the service lets it be downloaded.

    Raises:
        BackendError: the download fails repeatedly.
        RunError: a file can't be written.
    """
    reason = "its log-probabilities have not been compared yet"
    if isinstance(download, BackendError):
        reason = f"it could not be downloaded: {download}"
    else:
        rest = connection.client.RestClient(base_url=connection.url)
        urls: Mapping[str, str] = connection.call(lambda: rest.get_external_weights_urls(download)).urls
        for name, url in urls.items():
            if name != CARD:
                _download(connection, url, directory / _safe_name(name))
        _set_base_model(directory, model)
    write_note(Note(weights, model, reason=reason), directory)


def _download(connection: Connection, url: str, path: Path) -> None:
    retrying = Retrying(
        retry=retry_if_exception(_is_transient),
        wait=wait_random_exponential(1.0, MAX_PAUSE_SECONDS),
        stop=stop_after_delay(PATIENCE_SECONDS),
        before_sleep=lambda state: connection.notices.warn(
            "download", f"the download of '{path.name}' was interrupted; retrying"
        ),
        reraise=True,
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        retrying(_fetch, url, path)
    except httpx.HTTPError as error:
        raise BackendError(
            f"can't download '{path.name}' from the service: {_without_query(error, url)}; run the command again"
        ) from None
    except OSError as error:
        raise RunError(f"can't write '{path}': {(error.strerror or str(error)).lower()}") from None


def _fetch(url: str, path: Path) -> None:
    with (
        httpx.stream("GET", url, follow_redirects=True, timeout=60) as response,
        path.open("wb") as file,
    ):
        response.raise_for_status()
        for block in response.iter_bytes(BLOCK_BYTES):
            file.write(block)


def _is_transient(error: BaseException) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return is_transient(error.response)
    return isinstance(error, httpx.TransportError)


def _without_query(error: httpx.HTTPError, url: str) -> str:
    """Return the error message without the URL, whose query string is a signature that grants access."""
    if isinstance(error, httpx.HTTPStatusError):
        return f"the server answers {error.response.status_code}"
    return detail(error).replace(url, "the URL")


def _safe_name(name: str) -> str:
    """Return the file name that the service sent, if it stays within the directory.

    Raises:
        BackendError: it doesn't.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or not path.parts or path.name == NOTE:
        raise BackendError(
            f"invalid file name {name!r} from the service: it would be outside of the adapter's directory"
        )
    return str(path)


def _set_base_model(directory: Path, model: str) -> None:
    """Check that the directory contains an adapter, and set its base model to a hub name instead of a path on the service.

    Raises:
        BackendError: a file is missing, or the configuration can't be parsed.
    """
    missing = [name for name in (CONFIG, WEIGHTS) if not (directory / name).is_file()]
    if missing:
        raise BackendError(f"the adapter from the service lacks {' and '.join(missing)}")
    path = directory / CONFIG
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        config["base_model_name_or_path"] = hub_name(model)
    except (ValueError, TypeError) as error:
        raise BackendError(f"can't parse {CONFIG} of the adapter from the service: {error}") from None
    write_file(path, (json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode())
