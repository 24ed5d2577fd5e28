"""How many tokens and rows run together on a device."""

from dataclasses import dataclass
from typing import Any

CPU_TOKENS, GPU_TOKENS = 1024, 16384
CPU_ROWS, GPU_ROWS = 256, 2048
CPU_KEY_VALUES, GPU_KEY_VALUES = 512 << 20, 4 << 30
"""Tokens and rows of a forward pass, and bytes of keys and values.

Few tokens are faster on a CPU: what one layer leaves is still in its cache for the next (measured: 1,024 bare queries of 50
tokens took 2.7 times as long in batches of 256 as in batches of 16).
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one model may run together on its device.

    Args:
        tokens: of one forward pass.
        most_rows: that are under way at one time.
        key_values: bytes of keys and values.
        token_bytes: bytes of one token's keys and values.
    """

    tokens: int
    most_rows: int
    key_values: int
    token_bytes: int

    def rows(self, length: int) -> int:
        """Return how many rows of `length` tokens have room for their keys and values, at least 1."""
        return max(1, min(self.most_rows, self.key_values // (self.token_bytes * max(1, length))))


def limits(model: Any) -> Limits:
    """Return the limits of a model on the device that it is on."""
    config, on_cpu = model.config.get_text_config(), model.device.type == "cpu"
    queries = getattr(config, "num_attention_heads", None) or 1
    heads = getattr(config, "num_key_value_heads", None) or queries
    size = getattr(config, "head_dim", None) or config.hidden_size // queries
    token_bytes = 2 * config.num_hidden_layers * heads * size * model.dtype.itemsize
    if on_cpu:
        return Limits(CPU_TOKENS, CPU_ROWS, CPU_KEY_VALUES, token_bytes)
    return Limits(GPU_TOKENS, GPU_ROWS, GPU_KEY_VALUES, token_bytes)
