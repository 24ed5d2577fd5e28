"""A fake model that writes queries, for tests of `pdistill queries`, and a job for it."""

from pathlib import Path
from random import Random
from typing import Any

from pdistill.core.writing.settings import WriteConfig

LABELS = ("repair", "price")
PROMPT = """You sort what is written to a workshop.

- Something is broken: repair
- A question about money: price
- A message in capitals counts like any other.
"""
SEEDS = [("my rear brake squeaks when it rains", "repair"), ("what is a new chain for a tandem", "price")]
THINGS = [
    "saddle",
    "pedal",
    "spoke",
    "chain",
    "frame",
    "wheel",
    "basket",
    "mudguard",
    "dynamo",
    "hub",
    "fork",
    "tyre",
    "valve",
    "lamp",
    "bell",
]
DEEDS = [
    "rattles",
    "broke",
    "squeaks",
    "bends",
    "slips",
    "leaks",
    "wobbles",
    "sticks",
    "costs",
    "vanished",
    "rusts",
    "jams",
]
PLACES = [
    "near Aachen",
    "in winter",
    "on cobbles",
    "after lunch",
    "at night",
    "under load",
    "since Monday",
    "every morning",
]


def writer(system: str, asked: str) -> str:
    """Return ten lines that depend only on the request, including numbers, a heading, an echo and a chat marker."""
    random = Random(asked)
    words = [[*THINGS], [*DEEDS], [*PLACES]]
    lines = [f"{at}. the {' '.join(random.choice(part) for part in words)}" for at in range(1, 8)]
    return "\n".join(["Here you are:", *lines, "8. Something is broken: repair", "9. a bell<|im_end|>"])


def job(folder: Path, backend: str = "writer", **changes: Any) -> WriteConfig:
    """Return the options of a small job; writes its input files."""
    (folder / "out").mkdir(parents=True, exist_ok=True)
    prompt, seeds = folder / "prompt.txt", folder / "seeds.csv"
    prompt.write_text(PROMPT)
    seeds.write_text("query,reference\n" + "".join(f"{query},{label}\n" for query, label in SEEDS))
    options: dict[str, Any] = {"prompt": prompt, "queries": seeds, "labels": LABELS, "backend": backend, "limit": 60}
    return WriteConfig(**{**options, "output": folder / "out" / "queries.jsonl", **changes})
