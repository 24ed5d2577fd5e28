"""What depends on the machine: device, dtype, threads, chunk size, and the versions that the sums depend on."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import peft
import torch
import transformers

from pdistill.backends.local import LocalOptions
from pdistill.core.errors import BackendError


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine as a stage uses it; all of it goes into the stage's JSON file."""

    device: str
    dtype: str
    threads: int
    chunk: int
    torch: str
    transformers: str
    peft: str

    def row(self) -> dict[str, Any]:
        """Return the values to be stored."""
        return asdict(self)


def probe(options: LocalOptions) -> Machine:
    """Return what this machine is best used as.

    Raises:
        BackendError: the device that was asked for is not there.
    """
    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    check_device(device)
    return Machine(
        device=device,
        dtype=_dtype(device) if options.dtype == "auto" else options.dtype,
        threads=torch.get_num_threads(),
        chunk=options.chunk,
        torch=torch.__version__,
        transformers=transformers.__version__,
        peft=peft.__version__,
    )


def from_row(row: Mapping[str, Any]) -> Machine:
    """Return the machine that an earlier run has stored."""
    return Machine(**{field.name: row[field.name] for field in fields(Machine)})


def check_device(device: str) -> None:
    """Guarantee that the device is there.

    Raises:
        BackendError: it is not.
    """
    try:
        known = torch.device(device)
    except RuntimeError:
        known = None
    if known is None or known.type not in ("cpu", "cuda"):
        raise BackendError(f"there is no device '{device}'; choose from auto, cpu, cuda, cuda:0, cuda:1, ...")
    if known.type == "cuda" and (known.index or 0) >= torch.cuda.device_count():
        raise BackendError(
            f"there is no device '{device}': torch sees {torch.cuda.device_count()} CUDA devices; take -B device=cpu"
        )


def settle(machine: Machine) -> None:
    """Set torch up so that the same input gives the same bytes on this machine."""
    torch.set_num_threads(machine.threads)
    if machine.device != "cpu":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)


def _dtype(device: str) -> str:
    """A CPU computes in float32: many have no bfloat16 arithmetic, and equal tokens need float32 sums."""
    if device == "cpu":
        return "float32"
    return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
