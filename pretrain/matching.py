"""Heads that begin by matching: a query's language with its name in the list, its kind with the rule about it.

Gradient descent alone did not find these heads in thousands of steps. The probes give the directions in which the
middle layer holds languages, kinds and rules; from them the heads' weights are set once, and training continues.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pretrain.layout import Batch
from pretrain.network import Layer, Network, Output
from pretrain.probes import KINDS, KINDS_OF, RULES, Probes, normed

SLOW_PAIRS = 7
"""Pairs of a head's dimensions that RoPE rotates most slowly; what is matched must survive the distance to the prompt."""
NAME_HEADS, RULE_HEAD = (0, 1), 2
MARGIN = 12.0
"""How much higher a match scores than anything else."""
COPIED = 0.4


@torch.no_grad()
def set_copying(network: Network, probes: Probes, output: Output) -> None:
    """Make the heads that match names copy which label they found, towards that label's logit."""
    layer = network.layers[network.DEPTH]
    assert isinstance(layer, Layer)
    size = network.shape.head
    directions = _main_directions(network.embed_tokens.weight[probes.labels], size * len(NAME_HEADS))
    held = float(output.asked.float().square().mean().sqrt())
    found = (normed(output.names) * probes.label_gain) @ directions.T
    strength = COPIED * held * (network.shape.hidden / found.square().sum(-1)).mean().sqrt()
    for index, head in enumerate(NAME_HEADS):
        rows, part = slice(head * size, (head + 1) * size), directions[index * size : (index + 1) * size]
        layer.v_proj.weight[rows] = part * probes.label_gain / layer.input_layernorm
        layer.v_proj.bias[rows] = 0.0
        layer.o_proj.weight[:, rows] = strength * part.T


@torch.no_grad()
def set_heads(network: Network, probes: Probes, output: Output, batch: Batch, seed: int) -> None:
    """Set three heads of the layer after the probes; a batch, as all workers see it, gives the scale."""
    layer = network.layers[network.DEPTH]
    assert isinstance(layer, Layer)
    asked, names, rules = normed(output.asked), normed(output.names), normed(output.rules)
    held = float(output.asked.float().square().mean().sqrt())
    language = _main_directions(probes.directions(network), 2 * SLOW_PAIRS)
    same = batch.languages[:, None] == batch.names[None, :]
    scale = _scale(asked @ language.T, names @ language.T, same)
    generator = torch.Generator().manual_seed(seed)
    for head in NAME_HEADS:
        _set(layer, head, language * scale, language * scale, held, generator)
    of_kind, of_rule = _rule_directions(probes)
    known = torch.tensor([_rule_of(kind) for kind in range(len(KINDS))])[batch.kinds]
    same = (known[:, None] == batch.rules[None, :] // 2) & (known[:, None] >= 0)
    scale = _scale((asked @ of_kind.T)[known >= 0], rules @ of_rule.T, same[known >= 0])
    _set(layer, RULE_HEAD, of_kind * scale, of_rule * scale, held, generator)


def _rule_of(kind: int) -> int:
    """The rule about a kind of text, -1 where there is none."""
    return next((index for index, rule in enumerate(RULES) if KINDS[kind] in KINDS_OF[rule]), -1)


def _main_directions(vectors: Tensor, count: int) -> Tensor:
    """The main directions of the vectors about their mean."""
    main: Tensor = torch.linalg.svd(vectors - vectors.mean(0), full_matrices=False)[2]
    return main[:count]


def _rule_directions(probes: Probes) -> tuple[Tensor, Tensor]:
    """For each rule, the direction of the kinds that it covers and that of the rule itself, in either mode."""
    kinds = probes.kind.weight - probes.kind.weight.mean(0)
    rules = probes.rule.weight.view(len(RULES), 2, -1).mean(1)
    of_kind = torch.stack(
        [torch.stack([kinds[KINDS.index(kind)] for kind in KINDS_OF[rule]]).mean(0) for rule in RULES]
    )
    return of_kind, rules - rules.mean(0)


def _scale(queries: Tensor, keys: Tensor, same: Tensor) -> float:
    """The factor for both sides under which a match scores `MARGIN` above the rest."""
    scores = queries @ keys.T / 8.0
    margin = scores[same].mean() - scores[~same].mean()
    return float((MARGIN / margin.clamp(min=1e-3)).sqrt())


def _set(layer: Layer, head: int, query: Tensor, key: Tensor, size_held: float, generator: torch.Generator) -> None:
    """Make a head score by the products of the directions and copy a random part of what it finds, with the magnitude of the layer's content."""
    size = layer.q_proj.weight.shape[0] // layer.heads
    rows, half = slice(head * size, (head + 1) * size), size // 2
    slow = [place for pair in range(SLOW_PAIRS) for place in (half - 1 - pair, size - 1 - pair)][: len(query)]
    for projection, directions in ((layer.q_proj, query), (layer.k_proj, key)):
        weight = torch.zeros(size, directions.shape[1])
        weight[slow] = directions / layer.input_layernorm
        projection.weight[rows] = weight
        projection.bias[rows] = 0.0
    part = torch.linalg.qr(torch.randn(query.shape[1], size, generator=generator))[0].T
    layer.v_proj.weight[rows] = part / layer.input_layernorm
    layer.v_proj.bias[rows] = 0.0
    layer.o_proj.weight[:, rows] = COPIED * size_held * part.T
