"""The versions that a run was made with."""

import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("pdistill", "torch", "transformers", "peft", "tokenizers", "numpy", "scipy")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the installed packages that the results of a run depend on."""
    installed = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            continue
    return installed
