"""The local backend: any causal language model of transformers on this machine, with torch; students are PEFT LoRA adapters."""

import os

from pdistill.backends.local.options import LocalOptions
from pdistill.backends.packages import needing
from pdistill.core.contract.hookspecs import hookimpl
from pdistill.core.contract.interfaces import Backend
from pdistill.core.contract.optionfields import check_ranges
from pdistill.core.contract.registry import Registry

__all__ = ["LocalOptions", "create"]

SPIN_COUNT = "30000"
"""How many times a waiting OpenMP thread looks for work before it sleeps, a tenth of the default (GNU's).

Where other programs want the processors too, spinning threads take them from those that compute. Threads that sleep at once
(OMP_WAIT_POLICY=PASSIVE) take half as long again on an idle machine.
"""
REQUIRED_PACKAGES = ("torch", "transformers", "peft", "safetensors", "jinja2")


def create(options: LocalOptions) -> Backend:
    """Return the local backend.

    Raises:
        BackendError: one of the packages that it needs is not installed.
        UsageError: an option's value is out of range.
    """
    check_ranges(options, "backend local")
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)  # read when torch is loaded
    with needing("local", REQUIRED_PACKAGES):
        from pdistill.backends.local.backend import LocalBackend
    return LocalBackend(options)


@hookimpl
def pdistill_register_backends(backends: Registry[Backend]) -> None:
    """Register the local backend."""
    backends.register("local", create, options=LocalOptions, summary="transformers models on this machine, by torch")
