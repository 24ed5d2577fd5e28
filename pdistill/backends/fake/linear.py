"""The trained model: at each position of an answer, a multinomial logistic regression over the query's words."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from unicodedata import normalize

from pdistill.backends.fake.answers import ending, last_line
from pdistill.core.contract.batches import HardRow, PolicyRow, TokenIds, TrainingRow

WORD = re.compile(r"[a-z0-9']+|\w")
BIAS = ("",)
OTHER = -1  # stands for all tokens that were never a target
START = 3.0  # the untrained model's logit of OTHER, with which the base answers
WORDS = 0.3  # the value of a word; the bias and the last letter have 1, so that rare words do not dominate them


@dataclass(frozen=True, slots=True)
class TrainedPosition:
    """One trained position of a row: the answer's tokens before it, the targets with their probabilities, the weight."""

    features: tuple[str, ...]
    prefix: tuple[int, ...]
    targets: Mapping[int, float]
    weight: float
    logprob: float | None = None  # of the sampled token, if the loss is importance sampling


@dataclass(slots=True)
class Node:
    """One regression: its tokens, and their weights and sums of squared gradients for each feature."""

    tokens: list[int] = field(default_factory=lambda: [OTHER])
    weights: dict[str, list[float]] = field(default_factory=lambda: {"": [START]})
    squares: dict[str, list[float]] = field(default_factory=dict)

    def learn_token(self, token: int) -> None:
        """Add the token to those that the node can predict."""
        if token not in self.tokens:
            self.tokens.append(token)

    def probabilities(self, features: Iterable[str]) -> list[float]:
        """Return the probability of each of the node's tokens."""
        logits = [0.0] * len(self.tokens)
        for feature in features:
            value = 1.0 if feature[:1] in ("", "$") else WORDS
            for at, weight in enumerate(self.weights.get(feature, ())):
                logits[at] += value * weight
        top = max(logits)
        shares = [math.exp(logit - top) for logit in logits]
        total = sum(shares)
        return [share / total for share in shares]

    def update(self, gradients: Mapping[str, list[float]], learning_rate: float) -> None:
        """Take one step of Adagrad (Duchi et al. 2011): each weight by its gradient over the root of its squares' sum.

        A feature's value cancels out there, so `gradients` are those of the logits.
        """
        size = len(self.tokens)
        for feature, slopes in gradients.items():
            weights = self.weights.setdefault(feature, [])
            squares = self.squares.setdefault(feature, [])
            weights.extend([0.0] * (size - len(weights)))
            squares.extend([0.0] * (size - len(squares)))
            for at, slope in enumerate(slopes):
                squares[at] += slope * slope
                if squares[at]:
                    weights[at] -= learning_rate * slope / math.sqrt(squares[at])


class LinearModel:
    """A tree of regressions, one per prefix of a trained answer."""

    def __init__(self, nodes: dict[tuple[int, ...], Node] | None = None) -> None:
        self._nodes = {} if nodes is None else nodes

    def probabilities(self, features: tuple[str, ...], prefix: tuple[int, ...]) -> dict[int, float] | None:
        """Return the probability of each token after the answer's first tokens; None if nothing was trained there."""
        node = self._nodes.get(prefix)
        return dict(zip(node.tokens, node.probabilities(features), strict=True)) if node else None

    def step(self, positions: list[TrainedPosition], learning_rate: float) -> float:
        """Take one optimizer step on a batch; return its loss before the step, in nats."""
        for position in positions:
            node = self._nodes.setdefault(position.prefix, Node())
            for token in position.targets:
                node.learn_token(token)
        loss = 0.0
        gradients: dict[tuple[int, ...], dict[str, list[float]]] = {}
        for position in positions:
            node = self._nodes[position.prefix]
            part, slopes = _loss(node, position)
            loss += part
            sums = gradients.setdefault(position.prefix, {})
            one_answer = len(node.tokens) == 2  # besides OTHER: there is nothing for the features to distinguish
            for feature in BIAS if one_answer else position.features:
                old = sums.get(feature)
                sums[feature] = slopes if old is None else [a + b for a, b in zip(old, slopes, strict=True)]
        for prefix, sums in gradients.items():
            self._nodes[prefix].update(sums, learning_rate)
        return loss

    def to_json(self, optimizer: bool) -> list[dict[str, Any]]:
        """Return the model as JSON values, with or without the optimizer's state."""
        keys = ("tokens", "weights", "squares") if optimizer else ("tokens", "weights")
        return [{"prefix": prefix} | {key: getattr(node, key) for key in keys} for prefix, node in self._nodes.items()]


def model_from_json(nodes: Iterable[Mapping[str, Any]]) -> LinearModel:
    """Return the model from the output of `to_json`."""
    return LinearModel(
        {tuple(node["prefix"]): Node(node["tokens"], node["weights"], node.get("squares", {})) for node in nodes}
    )


def _loss(node: Node, position: TrainedPosition) -> tuple[float, list[float]]:
    """Return one position's share of the loss, and its gradient with respect to the logits of the node's tokens.

    Cross-entropy is -sum_k y_k log p_k; importance sampling is -advantage * p / p_sampled.
    """
    shares = node.probabilities(position.features)
    scale, loss = position.weight, 0.0
    if position.logprob is not None:
        (token, advantage), *_ = position.targets.items()
        scale *= advantage * shares[node.tokens.index(token)] / math.exp(position.logprob)
        targets, loss = {token: 1.0}, -scale
    else:
        targets = dict(position.targets)
        loss = -scale * sum(y * math.log(max(shares[node.tokens.index(k)], 1e-300)) for k, y in targets.items())
    total = sum(targets.values())
    slopes = [scale * total * share for share in shares]
    for token, share in targets.items():
        slopes[node.tokens.index(token)] -= scale * share
    return loss, slopes


def features_of(text: str) -> tuple[str, ...]:
    """Return the features of an input: the last line's words and last letter, without accents and case."""
    line = last_line(text)
    words = dict.fromkeys(WORD.findall(normalize("NFKD", line.casefold())))
    return "", f"${ending(line)}", *words


def positions_of(row: TrainingRow, text_of: Callable[[TokenIds], str]) -> Iterator[TrainedPosition]:
    """Yield the positions of a row that have a weight; `text_of` decodes the ids before the first of them."""
    start = next((at for at, weight in enumerate(row.weights) if weight), len(row.ids))
    features = features_of(text_of(row.ids[: start + 1]))
    for at in range(start, len(row.ids)):
        if not row.weights[at]:
            continue
        prefix = tuple(row.ids[start + 1 : at + 1])
        if isinstance(row, HardRow):
            yield TrainedPosition(features, prefix, {row.targets[at]: 1.0}, row.weights[at])
        elif isinstance(row, PolicyRow):
            yield TrainedPosition(
                features, prefix, {row.targets[at]: row.advantages[at]}, row.weights[at], row.logprobs[at]
            )
        else:
            targets = dict(zip(row.targets[at], row.probabilities[at], strict=True))
            yield TrainedPosition(features, prefix, targets, row.weights[at])
