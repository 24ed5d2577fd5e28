"""Atomic writes of files and folders, and file hashes."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from pdistill.core.errors import RunError


def write_file(path: Path, content: bytes) -> None:
    """Guarantee that `path` holds `content`; at any moment it has either the old content or the new one.

    Raises:
        RunError: the file cannot be written.
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
    """Return the error for a file that cannot be read or written, with the reason that the system gives."""
    return RunError(f"can't use '{path}': {(error.strerror or str(error)).lower()}; everything done so far is saved")


def digest(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal.

    Raises:
        RunError: it cannot be read.
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
def new_folder(path: Path) -> Iterator[Path]:
    """Return a context manager that creates a folder, which becomes `path` at the end of the block, or is removed.

    Raises:
        RunError: it cannot be written.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        yield part
        part.replace(path)
    except OSError as error:
        raise storage_error(error, path) from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
