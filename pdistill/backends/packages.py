"""Packages that come with a backend's extra: if one is missing, the error names the command that installs it."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from pdistill.core.errors import BackendError, not_installed


@contextmanager
def needing(backend: str, packages: Collection[str]) -> Iterator[None]:
    """Turn a failed import of one of these packages into an error that says how to install it.

    Raises:
        BackendError: one of them is not installed.
        ModuleNotFoundError: another module is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in packages:
            raise
        raise BackendError(not_installed(f"backend {backend}", backend, error.name)) from None
