"""Writes folders atomically: a folder is there whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pdistill.core.errors import RunError


@contextmanager
def whole_folder(final: Path) -> Iterator[Path]:
    """Yield an empty folder to be filled, which replaces `final` at the end if nothing was raised.

    Raises:
        RunError: it can't be written.
    """
    part = final.with_name(final.name + ".part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        yield part
        for path in [*sorted(part.iterdir()), part]:
            _sync(path)
        if final.exists():
            shutil.rmtree(final)
        part.replace(final)
        _sync(final.parent)
    except OSError as error:
        raise RunError(f"can't write '{final}': {(error.strerror or str(error)).lower()}") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
