"""Whole files: written so that a kill leaves the old content or the new one, and read by their hash."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from pdistill.core.errors import RunError


def write_file(path: Path, content: bytes) -> None:
    """Guarantee that `path` holds `content`: it has the old content or the new one at every instant.

    Raises:
        RunError: the file can't be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise storage_error(error, path) from None


def storage_error(error: OSError, path: Path) -> RunError:
    """Return the error for a file that can't be read or written, with what the system says of it."""
    return RunError(f"can't use '{path}': {(error.strerror or str(error)).lower()}; everything done so far is saved")


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits.

    Raises:
        RunError: it can't be read.
    """
    try:
        with path.open("rb") as file:
            state = sha256()
            while block := file.read(1 << 20):
                state.update(block)
            return state.hexdigest()
    except OSError as error:
        raise storage_error(error, path) from None


@contextmanager
def new_directory(path: Path) -> Iterator[Path]:
    """Yield an empty directory to be filled, which becomes `path` at the end of the block if nothing was raised.

    Raises:
        RunError: it can't be written.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        yield part
        for file in [*sorted(part.iterdir()), part]:
            _sync(file)
        if path.exists():
            shutil.rmtree(path)
        part.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise storage_error(error, path) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
