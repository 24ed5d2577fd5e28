"""Makes glibc keep freed memory: tensors come and go, and giving each back to the kernel halves the speed."""

import ctypes
import platform

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
THRESHOLD_BYTES = 1 << 30
TOP_PAD_BYTES = 64 << 20


def keep_freed_memory() -> bool:
    """Return whether the C library was told to keep freed memory; only glibc can be."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    values = ((M_TRIM_THRESHOLD, THRESHOLD_BYTES), (M_MMAP_THRESHOLD, THRESHOLD_BYTES), (M_TOP_PAD, TOP_PAD_BYTES))
    taken = [mallopt(ctypes.c_int(name), ctypes.c_int(value)) for name, value in values]
    return all(answer == 1 for answer in taken)
