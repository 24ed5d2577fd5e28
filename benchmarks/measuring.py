"""Time, peak memory of this process, and the machine, for all benchmarks; Linux only. Imports only the standard library."""

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def start() -> int:
    """Return the bytes that this process holds now, and reset its peak."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def above(loaded: int) -> int:
    """Return the peak since `start`, in bytes above what was held then."""
    return _status("VmHWM") - loaded


class Stage:
    """Measures the code in its block; a context manager."""

    def __enter__(self) -> "Stage":
        self._loaded = start()
        self._began = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._began[0]
        self.processor_seconds = time.process_time() - self._began[1]
        self.peak = above(self._loaded)

    def row(self) -> dict[str, float]:
        """Return wall-clock seconds, processor seconds, and the peak memory in MiB above that at the start of the block."""
        return {
            "seconds": round(self.seconds, 3),
            "processor_seconds": round(self.processor_seconds, 3),
            "peak_mib": round(self.peak / 2**20, 1),
        }


def machine(*packages: str) -> dict[str, object]:
    """Return the provenance of a result: processor, cores, memory, system, Python and versions of packages."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    versions = {}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": versions,
    }


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))
