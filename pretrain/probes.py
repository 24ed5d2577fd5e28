"""Probes: small classifiers on the middle layers that exist only in training.

A network that identifies the language and the kind of a text only in its last layers has no layers left to look them up
in the prompt. So the probes predict halfway: from a query its language and kind, from a label in the prompt's list the
language before it, from a rule's last token which rule it is and whether it is reversed. Languages are predicted in
both places with the embeddings of their names, so that the same language looks the same in query and list. And from a
label they predict which label it is, because what is looked up must still be there to be copied.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from pretrain.corpora import ALL_NAMES
from pretrain.layout import UNKNOWN, Batch
from pretrain.network import Network, Output
from pretrain.policy import TURNED_MODES, Policy

LANGUAGES = [*ALL_NAMES, "zz"]
KINDS = ["plain", "noisy", "number", "code", "bare", "mixed", "even", "short", "shared", "romanized", "unknown"]
RULES = list(TURNED_MODES)
KINDS_OF = {
    "numbers": ["number"],
    "code": ["code", "bare"],
    "mixed": ["even"],
    "short": ["short", "shared"],
    "romanized": ["romanized"],
}
QUERY_SHARE, PROMPT_SHARE = 0.3, 0.3


def truth(language: str, kind: str) -> tuple[int, int]:
    """What the probes predict about a text; no language if it has no words."""
    return LANGUAGES.index(language) if language else UNKNOWN, KINDS.index(kind)


def rule_class(rule: str, policy: Policy) -> int:
    """What the probes predict about a rule: which one it is, and whether it is reversed."""
    return 2 * RULES.index(rule) + (policy.modes[rule] == TURNED_MODES[rule])


class Probes(nn.Module):
    """The classifiers; they have the tokens of the languages' names and of all labels."""

    def __init__(self, network: Network, names: list[int], labels: list[int]) -> None:
        super().__init__()
        hidden = network.shape.hidden
        self.names = torch.tensor(names)
        self.labels = torch.tensor(labels)
        self.gain = nn.Parameter(torch.ones(hidden))
        self.kind = nn.Linear(hidden, len(KINDS))
        self.rule = nn.Linear(hidden, 2 * len(RULES))
        self.label_gain = nn.Parameter(torch.ones(hidden))

    def directions(self, network: Network) -> Tensor:
        """For each language the direction that represents it in a normed middle layer."""
        return network.embed_tokens.weight[self.names] * self.gain

    def answers(self, network: Network, output: Output) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Logits of the languages and kinds of queries, of the languages of labels, of the rules, of the labels themselves."""
        directions = self.directions(network)
        asked, names, rules = normed(output.asked), normed(output.names), normed(output.rules)
        labels = names @ (network.embed_tokens.weight[self.labels] * self.label_gain).T
        return asked @ directions.T, self.kind(asked), names @ directions.T, self.rule(rules), labels

    def loss(self, network: Network, output: Output, batch: Batch, queries: float, prompts: float) -> Tensor:
        """The probes' share of the loss."""
        parts = [
            functional.cross_entropy(logits, truths, ignore_index=UNKNOWN, reduction="sum")
            for logits, truths in zip(self.answers(network, output), self._truths(batch), strict=True)
        ]
        return (
            QUERY_SHARE * (parts[0] + parts[1]) / queries
            + PROMPT_SHARE * ((parts[2] + parts[4]) / 12 + parts[3] / 4) / prompts
        )

    @torch.no_grad()
    def right(self, network: Network, output: Output, batch: Batch) -> dict[str, tuple[int, int]]:
        """The number of right predictions and of all predictions, by probe."""
        found = {}
        names = ("probe-language", "probe-kind", "probe-name", "probe-rule", "probe-label")
        for name, logits, truths in zip(names, self.answers(network, output), self._truths(batch), strict=True):
            known = truths != UNKNOWN
            found[name] = (int((logits.argmax(-1) == truths)[known].sum()), int(known.sum()))
        return {name: counts for name, counts in found.items() if counts[1]}

    def _truths(self, batch: Batch) -> tuple[Tensor, ...]:
        labels = batch.ids[batch.layout.names]
        places = (labels[:, None] == self.labels[None, :]).int().argmax(-1)
        return batch.languages, batch.kinds, batch.names, batch.rules, places


def fit(probes: Probes, network: Network, batches: list[Batch], turns: int = 150) -> None:
    """Train only the probes, on the network's activations for the batches, until they can read them."""
    with torch.no_grad():
        outputs = [network(batch.ids, batch.layout) for batch in batches]
    optimizer = torch.optim.Adam(probes.parameters(), lr=0.02)
    for turn in range(turns):
        output, batch = outputs[turn % len(outputs)], batches[turn % len(batches)]
        optimizer.zero_grad()
        probes.loss(network, output, batch, len(batch.languages), len(batch.rules) / 4 + 1).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    optimizer.zero_grad()
    network.zero_grad()


def normed(x: Tensor) -> Tensor:
    """The rows at a root mean square of one, in float32."""
    return functional.rms_norm(x.float(), (x.shape[-1],), eps=1e-6)
