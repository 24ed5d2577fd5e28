"""The network: Llama's with biases in its attention, run over prompts that many queries share.

The tokens of a batch lie one after another without padding. A `Block` says which rows of queries attend to
which spans of keys; so a prompt is computed once, and every query sees only the prompt and itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from pretrain.attention import Block, attend


@dataclass(frozen=True)
class Shape:
    """The sizes of a network."""

    vocabulary: int = 6016
    hidden: int = 256
    layers: int = 6
    heads: int = 4
    inner: int = 480
    rope_theta: float = 10000.0
    positions: int = 4096

    @property
    def head(self) -> int:
        """The number of dimensions of a head."""
        return self.hidden // self.heads


@dataclass(frozen=True)
class Layout:
    """The layout of a flat batch: positions, blocks, and the rows whose logits are wanted.

    `asked` are the tokens after which the answers begin, `names` the labels that follow the names of languages
    in the prompts, `rules` the tokens with which rules end.
    """

    positions: Tensor
    blocks: list[Block]
    rows: Tensor
    row_blocks: list[Block]
    asked: Tensor
    names: Tensor
    rules: Tensor
    cut: int
    """Tokens from here on belong to prompts without queries, which only the lower layers read."""


@dataclass(frozen=True)
class Output:
    """Logits at the wanted rows, and the middle layers' activations for queries, names and rules."""

    logits: Tensor
    asked: Tensor
    names: Tensor
    rules: Tensor


class Layer(nn.Module):
    """One transformer layer; its parameters carry the names that transformers gives them."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        hidden, inner = shape.hidden, shape.inner
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(hidden, hidden) for _ in range(3))
        self.o_proj = nn.Linear(hidden, hidden)
        self.gate_proj = nn.Linear(hidden, inner, bias=False)
        self.up_proj = nn.Linear(hidden, inner, bias=False)
        self.down_proj = nn.Linear(inner, hidden, bias=False)
        self.input_layernorm = nn.Parameter(torch.ones(hidden))
        self.post_attention_layernorm = nn.Parameter(torch.ones(hidden))

    def forward(self, x: Tensor, turn: tuple[Tensor, Tensor], blocks: list[Block], rows: Tensor | None) -> Tensor:
        """The layer's output, only at `rows` if they are given."""
        normed = _norm(x, self.input_layernorm)
        key = _turned(self._split(_linear(self.k_proj, normed)), turn)
        value = self._split(_linear(self.v_proj, normed))
        if rows is not None:
            normed, x = normed[rows], x[rows]
            turn = (turn[0][rows], turn[1][rows])
        query = _turned(self._split(_linear(self.q_proj, normed)), turn)
        mixed = attend(query, key, value, blocks)
        x = x + _linear(self.o_proj, mixed.transpose(0, 1).flatten(1))
        normed = _norm(x, self.post_attention_layernorm)
        inner = functional.silu(_linear(self.gate_proj, normed)) * _linear(self.up_proj, normed)
        return x + _linear(self.down_proj, inner)

    def _split(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], self.heads, -1).transpose(0, 1)


class Network(nn.Module):
    """Llama with tied embeddings, run over flat batches.

    Training also reads the activations of the prompts and the queries after `DEPTH` layers; the remaining
    layers then combine the two.
    """

    DEPTH = 4

    def __init__(self, shape: Shape, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.shape = shape
        self.dtype = dtype
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.hidden)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = nn.Parameter(torch.ones(shape.hidden))
        self._initialise()

    def _initialise(self) -> None:
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                scale = 0.5 / math.sqrt(parameter.shape[1])
                nn.init.normal_(parameter, std=0.02 if "embed" in name else scale)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
        for module in self.layers[:2]:
            assert isinstance(module, Layer)
            _look_back(module, self.shape, steps=(1, 2, 3))

    def forward(self, ids: Tensor, layout: Layout) -> Output:
        """float32 logits at the layout's rows, with the middle layers' activations."""
        x = self.embed_tokens(ids).to(self.dtype)
        turn = rotation(layout.positions, self.shape, self.dtype)
        last, blocks = len(self.layers) - 1, layout.blocks
        for index, layer in enumerate(self.layers):
            rows = layout.rows if index == last else None
            x = layer(x, turn, layout.row_blocks if index == last else blocks, rows)
            if index + 1 == self.DEPTH:
                asked, names, rules = x[layout.asked], x[layout.names], x[layout.rules]
                x, turn = x[: layout.cut], (turn[0][: layout.cut], turn[1][: layout.cut])
                blocks = [block for block in blocks if block.stop <= layout.cut]
        x = _norm(x, self.norm)
        logits = functional.linear(x, self.embed_tokens.weight.to(self.dtype)).float()
        return Output(logits, asked, names, rules)


def rotation(positions: Tensor, shape: Shape, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosines and sines of RoPE at the positions, each (tokens, half a head)."""
    half = shape.head // 2
    frequency = shape.rope_theta ** (-torch.arange(half, dtype=torch.float32) / half)
    angle = positions[:, None].float() * frequency
    return angle.cos().to(dtype), angle.sin().to(dtype)


def _turned(x: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    cosine, sine = turn
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)


def _linear(layer: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(layer, nn.Linear)
    bias = layer.bias
    return functional.linear(x, layer.weight.to(x.dtype), None if bias is None else bias.to(x.dtype))


def _norm(x: Tensor, weight: Tensor) -> Tensor:
    return functional.rms_norm(x, (x.shape[-1],), weight.to(x.dtype), eps=1e-6)


@torch.no_grad()
def _look_back(layer: Layer, shape: Shape, steps: tuple[int, ...], sharpness: float = 6.0) -> None:
    """Set biases so that head i begins by attending `steps[i]` tokens back: there RoPE's score peaks."""
    half = shape.head // 2
    frequency = shape.rope_theta ** (-torch.arange(half, dtype=torch.float32) / half)
    strength = sharpness * (frequency > 0.02)
    for head, step in enumerate(steps):
        start = head * shape.head
        layer.q_proj.weight[start : start + shape.head] *= 0.1
        layer.k_proj.weight[start : start + shape.head] *= 0.1
        query = torch.cat([strength, torch.zeros(half)])
        key = torch.cat([strength * (frequency * step).cos(), strength * (frequency * step).sin()])
        layer.q_proj.bias[start : start + shape.head] = query
        layer.k_proj.bias[start : start + shape.head] = key
