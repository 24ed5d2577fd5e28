"""Makes glibc keep freed memory: tensors come and go, and returning each one to the kernel halves the speed."""

import ctypes
import platform

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
THRESHOLD_BYTES = 1 << 30
TOP_PAD_BYTES = 64 << 20


def keep_freed_memory() -> bool:
    """Return whether the C library now keeps freed memory; only glibc can."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    values = ((M_TRIM_THRESHOLD, THRESHOLD_BYTES), (M_MMAP_THRESHOLD, THRESHOLD_BYTES), (M_TOP_PAD, TOP_PAD_BYTES))
    results = [mallopt(ctypes.c_int(name), ctypes.c_int(value)) for name, value in values]
    return all(result == 1 for result in results)
