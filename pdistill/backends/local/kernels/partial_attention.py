"""Attention over some of the keys: outputs with their log-sum-exp, so that partial results can be merged exactly.

Softmax attention over keys A and B together is the mean of both outputs, weighted by exp(log-sum-exp): exact, and known
from cascade attention (Hydragen: Juravsky et al., 2024, arXiv:2402.05099).
"""

import torch

from pdistill.backends.local.kernels.onednn import is_supported, matmul_transposed

PartialAttention = tuple[torch.Tensor, torch.Tensor]
"""Outputs (B, H, N, D) and log-sum-exps (B, H, N) in nats."""

MAX_SCORES, MAX_CPU_SCORES = 16 << 20, 1 << 19
"""Attention scores held at one time where no fused kernel hides them; on a CPU they should stay in its cache."""
MIN_ONEDNN_KEYS = 64
"""Keys from which oneDNN's products are faster than torch's kernel, whose products are MKL's."""

_CPU_ATTENTION = getattr(torch.ops.aten, "_scaled_dot_product_flash_attention_for_cpu", None)


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    visible: torch.Tensor | None = None,
    causal: bool = False,
    softcap: float | None = None,
) -> PartialAttention:
    """Return the attention of queries (B, H, N, D) over keys and values (B, K, T, D), where H is a multiple of K.

    Args:
        query: the queries; each key head serves H / K consecutive query heads.
        key: the keys.
        value: the values.
        scale: the factor for the scores.
        visible: (N, T), which keys each query sees; None is all. A query that sees none has a log-sum-exp of -inf.
        causal: whether query n sees only keys 0 to n; cannot be combined with `visible`.
        softcap: scores are squeezed into (-softcap, softcap) by tanh; None leaves them unchanged.
    """
    bias = None if visible is None else torch.zeros_like(visible, dtype=query.dtype).masked_fill(~visible, -torch.inf)
    if bias is None and softcap is None and not causal and key.shape[2] >= MIN_ONEDNN_KEYS and is_supported(query):
        outputs, sums = _attend_by_onednn(query, key, value, scale)
    elif softcap is None and _CPU_ATTENTION is not None and query.device.type == "cpu":
        outputs, sums = _attend_by_cpu_kernel(query, key, value, scale, bias, causal)
    else:
        if causal:
            bias = query.new_full((query.shape[2], key.shape[2]), -torch.inf).triu(1)
        rows = max(1, MAX_SCORES // (query.shape[0] * query.shape[1] * key.shape[2]))
        starts = range(0, query.shape[2], rows)
        parts = [
            attend_by_matmul(
                query[:, :, i : i + rows], key, value, scale, None if bias is None else bias[i : i + rows], softcap
            )
            for i in starts
        ]
        outputs, sums = torch.cat([part[0] for part in parts], 2), torch.cat([part[1] for part in parts], 2)
    if visible is not None:
        blind = ~visible.any(-1)
        outputs, sums = outputs.masked_fill(blind[:, None], 0.0), sums.masked_fill(blind, -torch.inf)
    return outputs, sums


def attend_by_matmul(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    bias: torch.Tensor | None,
    softcap: float | None = None,
) -> PartialAttention:
    """Return the same by plain matrix products; `bias` is broadcast to (B, K, H / K, N, T) and added to the scores."""
    batch, heads, count, size = query.shape
    key_heads, length = key.shape[1:3]
    grouped = query.reshape(batch, key_heads, -1, size)
    scores = torch.matmul(grouped, key.transpose(-1, -2)).float().mul_(scale)
    scores = scores.view(batch, key_heads, heads // key_heads, count, length)
    if softcap is not None:
        scores = (scores / softcap).tanh_().mul_(softcap)
    if bias is not None:
        scores += bias
    peaks = scores.amax(-1, keepdim=True).clamp_(min=torch.finfo(torch.float32).min)
    weights = scores.sub_(peaks).exp_()
    totals = weights.sum(-1, keepdim=True)
    outputs = torch.matmul(weights.to(value.dtype).view(batch, key_heads, -1, length), value)
    outputs = outputs.view(batch, key_heads, heads // key_heads, count, size) / totals.to(value.dtype)
    sums = (peaks + totals.log())[..., 0]
    return outputs.reshape(query.shape), sums.reshape(batch, heads, count)


def merge(one: PartialAttention, other: PartialAttention) -> torch.Tensor:
    """Return the attention (..., D) over the keys of both; `other` must have seen at least one key."""
    share = torch.sigmoid(other[1] - one[1])[..., None]
    return torch.lerp(one[0], other[0], share.to(one[0].dtype))


def _attend_by_onednn(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float) -> PartialAttention:
    """Run all queries of a group against its key head; the log-sum-exp is the highest score less the log of its weight."""
    batch, heads, count, size = query.shape
    key_heads, length = key.shape[1:3]
    queries = query.reshape(batch * key_heads, -1, size) * scale
    outputs, sums = torch.empty_like(queries), queries.new_empty(queries.shape[:2])
    rows = 1 << max(0, (MAX_CPU_SCORES // length).bit_length() - 1)  # few sizes, so that few kernels are compiled
    for head, (keys, values) in enumerate(zip(key.flatten(0, 1), value.flatten(0, 1), strict=True)):
        keys, values = keys.contiguous(), values.t().contiguous()
        for i in range(0, queries.shape[1], rows):
            scores = matmul_transposed(queries[head, i : i + rows], keys)
            weights = torch.softmax(scores, -1)
            outputs[head, i : i + rows] = matmul_transposed(weights, values)
            sums[head, i : i + rows] = scores.amax(-1) - weights.amax(-1).log()
    return outputs.view(query.shape), sums.view(batch, heads, count)


def _attend_by_cpu_kernel(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float, bias: torch.Tensor | None, causal: bool
) -> PartialAttention:
    """Run torch's kernel with one batch entry per key head; the heads of a group share the memory of its keys."""
    batch, heads, count, size = query.shape
    key_heads, length = key.shape[1:3]
    grouped = query.reshape(batch * key_heads, heads // key_heads, count, size)
    shape = (batch * key_heads, heads // key_heads, length, size)
    keys, values = (
        states.contiguous().view(batch * key_heads, 1, length, size).expand(shape) for states in (key, value)
    )
    assert _CPU_ATTENTION is not None
    outputs, sums = _CPU_ATTENTION(grouped, keys, values, 0.0, causal, attn_mask=bias, scale=scale)
    return outputs.reshape(query.shape), sums.reshape(batch, heads, count)
