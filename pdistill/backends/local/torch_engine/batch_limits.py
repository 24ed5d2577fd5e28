"""How many tokens and rows may run together on a device."""

from dataclasses import dataclass
from typing import Any

CPU_TOKENS_PER_PASS, GPU_TOKENS_PER_PASS = 1024, 16384
"""Most tokens of a forward pass.

Few tokens are faster on a CPU: the output of one layer is still in its cache for the next (measured: 1,024 bare queries of 50
tokens took 2.7 times as long in batches of 256 as in batches of 16).
"""
CPU_MAX_ROWS, GPU_MAX_ROWS = 256, 2048
CPU_KV_CACHE_BYTES, GPU_KV_CACHE_BYTES = 512 << 20, 4 << 30


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What one model may run together on its device.

    Args:
        tokens: most tokens of one forward pass.
        max_rows: most rows in progress.
        kv_cache_bytes: most bytes of keys and values.
        kv_bytes_per_token: bytes of one token's keys and values.
    """

    tokens: int
    max_rows: int
    kv_cache_bytes: int
    kv_bytes_per_token: int

    def rows(self, length: int) -> int:
        """Return how many rows of `length` tokens there is room for, at least 1."""
        return max(1, min(self.max_rows, self.kv_cache_bytes // (self.kv_bytes_per_token * max(1, length))))


def batch_limits(model: Any) -> BatchLimits:
    """Return the limits of a model on the device that it is on."""
    config, on_cpu = model.config.get_text_config(), model.device.type == "cpu"
    query_heads = getattr(config, "num_attention_heads", None) or 1
    key_heads = getattr(config, "num_key_value_heads", None) or query_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // query_heads
    kv_bytes_per_token = 2 * config.num_hidden_layers * key_heads * size * model.dtype.itemsize
    if on_cpu:
        return BatchLimits(CPU_TOKENS_PER_PASS, CPU_MAX_ROWS, CPU_KV_CACHE_BYTES, kv_bytes_per_token)
    return BatchLimits(GPU_TOKENS_PER_PASS, GPU_MAX_ROWS, GPU_KV_CACHE_BYTES, kv_bytes_per_token)
