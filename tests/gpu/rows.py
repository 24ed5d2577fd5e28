"""The rows and requests of these tests: of unequal length, some longer than the small models' sliding windows of 24."""

from collections.abc import Sequence

import torch

from pdistill.core.contract.batches import Batch, HardRow, hard_batch, hard_row
from pdistill.core.contract.interfaces import Lora
from pdistill.core.contract.prompts import Format, teacher_prompt
from pdistill.core.contract.sampling import Key, Request

LENGTHS = (3, 70, 41, 4, 4, 130)
PREFIX = [3 + 7 * i % 90 for i in range(60)]
ROWS = [[3 + (11 * row + 5 * i) % 97 for i in range(size)] for row, size in enumerate((30, 1, 17, 2, 5, 30, 1))]
LORA = Lora(rank=4, seed=3)
PROMPT = "You are a careful clerk. Name the language of the text: {query}"
QUERIES = ("The river is wide today", "Hola", "Der Fluss ist heute breit, und", "12", "all green, x", "é?") * 2


def training_rows() -> list[HardRow]:
    """Return rows of the lengths above, trained on their last tokens; all weights add up to 1."""
    generator = torch.Generator().manual_seed(5)
    rows = []
    for index, length in enumerate(LENGTHS):
        tokens = torch.randint(0, 300, (length + 1,), generator=generator).tolist()
        rows.append(hard_row(tokens[: max(1, length - 3 * index)], tokens[max(1, length - 3 * index) :]))
    return [row for row in hard_batch(rows).rows if isinstance(row, HardRow)]


def batch() -> Batch:
    """Return the rows as one batch."""
    return hard_batch(training_rows())


def requests(family: str = "llama", queries: Sequence[str] = QUERIES) -> list[Request]:
    """Return one request per query, all with the same prompt."""
    form: Format = "text" if family in ("gpt2", "bloom") else "chat"
    return [Request(Key(number), teacher_prompt(PROMPT, query, form), number) for number, query in enumerate(queries)]
