"""Size buckets: oneDNN compiles a kernel for every matrix size that it meets, and keeps it, so sizes should be few."""


def round_up_to_bucket(count: int, per_doubling: int) -> int:
    """Return the smallest bucket that holds `count` (at least 1), with `per_doubling` buckets between powers of two."""
    step = max(1, (1 << count.bit_length() - 1) // per_doubling)
    return -(-count // step) * step
