"""Flat batches: prompts with the queries that share them, laid out for the network."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from pretrain.attention import Block
from pretrain.network import Layout

PROMPT_ROWS = 192
QUERY_ROWS = 160
UNKNOWN = -1


@dataclass(frozen=True)
class Query:
    """The tokens of one query (its turn, the answer's head, the answer) and how many of the last are answers.

    `language` and `kind` are those of the text, for the probes.
    """

    ids: list[int]
    answers: int
    tag: str = ""
    language: int = UNKNOWN
    kind: int = UNKNOWN


@dataclass(frozen=True)
class Group:
    """A prompt, as tokens, and the queries that share it.

    `names` and `rules` tell the probes where a language's label is and which one, and where a rule ends and which one.
    A prompt without queries is there only for the probes.
    """

    prompt: list[int]
    queries: list[Query]
    names: list[tuple[int, int]] = field(default_factory=list)
    rules: list[tuple[int, int]] = field(default_factory=list)

    def tokens(self) -> int:
        """The number of tokens of the prompt and the queries."""
        return len(self.prompt) + sum(len(query.ids) for query in self.queries)

    def cost(self) -> int:
        """The approximate work of the group, in tokens."""
        return self.tokens() if self.queries else self.tokens() // 2


@dataclass(frozen=True)
class Batch:
    """Tokens, their layout, and the target and the weight in the loss of each of the layout's rows."""

    ids: Tensor
    layout: Layout
    targets: Tensor
    weights: Tensor
    firsts: Tensor
    """For each query, the row of the first token of its answer."""
    tags: list[str]
    languages: Tensor
    kinds: Tensor
    names: Tensor
    rules: Tensor


class _Builder:
    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.cut = 0
        self.ids: list[int] = []
        self.positions: list[int] = []
        self.blocks: list[Block] = []
        self.rows: list[int] = []
        self.row_blocks: list[Block] = []
        self.targets: list[int] = []
        self.weights: list[float] = []
        self.firsts: list[int] = []
        self.tags: list[str] = []
        self.truths: list[tuple[int, int]] = []
        self.asked: list[int] = []
        self.names: list[tuple[int, int]] = []
        self.rules: list[tuple[int, int]] = []

    def group(self, group: Group) -> None:
        first = len(self.ids)
        if group.queries:
            self.cut = first + group.tokens() - len(group.queries)
        self.ids += group.prompt
        self.positions += range(len(group.prompt))
        shared = (first, len(self.ids))
        self.names += [(first + place, name) for place, name in group.names]
        self.rules += [(first + place, rule) for place, rule in group.rules]
        for start in range(first, shared[1], PROMPT_ROWS):
            stop = min(start + PROMPT_ROWS, shared[1])
            mask = _causal([stop - start], self.dtype)
            self.blocks.append(Block(start, stop, (first, start), (start, stop), mask))
        chunk: list[Query] = []
        for query in group.queries:
            if chunk and sum(len(other.ids) for other in chunk) + len(query.ids) > QUERY_ROWS:
                self._chunk(chunk, shared)
                chunk = []
            chunk.append(query)
        if chunk:
            self._chunk(chunk, shared)

    def _chunk(self, queries: list[Query], shared: tuple[int, int]) -> None:
        start, first_row = len(self.ids), len(self.rows)
        for query in queries:
            length = len(query.ids)
            begin = len(self.ids)
            self.ids += query.ids[:-1]
            self.positions += range(shared[1] - shared[0], shared[1] - shared[0] + length - 1)
            self.rows += range(begin + length - 1 - query.answers, begin + length - 1)
            self.targets += query.ids[length - query.answers :]
            self.firsts.append(len(self.weights))
            self.weights += [1.0, 0.2] if query.answers == 2 else [0.15] * query.answers
            self.tags.append(query.tag)
            self.truths.append((query.language, query.kind))
            self.asked.append(begin + length - 1 - query.answers)
        stop = len(self.ids)
        mask = _causal([len(query.ids) - 1 for query in queries], self.dtype)
        self.blocks.append(Block(start, stop, shared, (start, stop), mask))
        wanted = torch.tensor(self.rows[first_row:]) - start
        self.row_blocks.append(Block(first_row, len(self.rows), shared, (start, stop), mask[wanted]))


def _causal(lengths: list[int], dtype: torch.dtype) -> Tensor:
    """A causal mask for several sequences, one after another, each of which sees only itself."""
    whole = sum(lengths)
    owner = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    seen = (owner[:, None] == owner[None, :]).tril()
    return torch.zeros(whole, whole, dtype=dtype).masked_fill(~seen, float("-inf"))


def lay_out(groups: list[Group], dtype: torch.dtype) -> Batch:
    """The groups as one flat batch; targets are the last `answers` tokens of each query."""
    builder = _Builder(dtype)
    for group in sorted(groups, key=lambda group: not group.queries):
        builder.group(group)
    positions, rows, asked = (
        torch.tensor(part, dtype=torch.long) for part in (builder.positions, builder.rows, builder.asked)
    )
    pairs = (
        torch.tensor(part, dtype=torch.long).view(-1, 2).unbind(1)
        for part in (builder.truths, builder.names, builder.rules)
    )
    (languages, kinds), (name_places, names), (rule_places, rules) = pairs
    return Batch(
        ids=torch.tensor(builder.ids),
        layout=Layout(
            positions, builder.blocks, rows, builder.row_blocks, asked, name_places, rule_places, builder.cut
        ),
        targets=torch.tensor(builder.targets),
        weights=torch.tensor(builder.weights),
        firsts=torch.tensor(builder.firsts),
        tags=builder.tags,
        languages=languages,
        kinds=kinds,
        names=names,
        rules=rules,
    )
