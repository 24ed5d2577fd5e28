"""Few sizes for many products: oneDNN makes a kernel for each size that it meets, and keeps it."""


def round_up_to_bucket(count: int, parts: int) -> int:
    """Return the least size that holds `count` (at least 1): there are `parts` from one power of two to the next."""
    step = max(1, (1 << count.bit_length() - 1) // parts)
    return -(-count // step) * step
