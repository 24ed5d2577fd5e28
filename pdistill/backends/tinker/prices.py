"""Prices of models on Tinker: the service's API does not report prices, so its published list is copied here, with its date.

The figures are second-hand: public repositories quote them from SOURCE, and they agree. They are the list prices in force
since 17 July 2026; DATE is the date of the last quotation. Two of the service's discounts are left out, so that an estimate
errs on the high side and a limit holds: the one for cached prompt tokens (80% off), and temporary ones (Inkling and
Nemotron models). A model whose full price could not be found is not in the list, and its price is unknown: among them
Qwen/Qwen3-30B-A3B, which the service's deprecation page lists as retired on 12 June 2026. The storage of checkpoints is
billed separately (0.10 USD per GB and month) and is not part of these figures.
"""

from pdistill.core.contract.prices import Prices

SOURCE = "https://tinker-docs.thinkingmachines.ai/tinker/models/"
DATE = "2026-09-30"

# USD per million tokens: prefill, sample, train
LISTED = {
    "Qwen/Qwen3-8B": (0.195, 0.60, 0.44),
    "Qwen/Qwen3.5-4B": (0.33, 1.005, 0.737),
    "Qwen/Qwen3.5-9B": (0.66, 1.995, 1.463),
    "Qwen/Qwen3.5-9B-Base": (0.66, 1.995, 1.463),
    "Qwen/Qwen3.5-35B-A3B-Base": (0.54, 1.335, 1.177),
    "Qwen/Qwen3.5-397B-A17B": (3.00, 7.50, 6.60),
    "Qwen/Qwen3.5-397B-A17B:peft:262144": (4.00, 10.00, 12.00),
    "Qwen/Qwen3.6-27B": (1.86, 5.595, 4.103),
    "Qwen/Qwen3.6-35B-A3B": (0.54, 1.335, 1.177),
    "Qwen/Qwen3.8-27B": (1.86, 5.595, 4.103),
    "deepseek-ai/DeepSeek-V3.1": (1.695, 4.215, 3.718),
    "moonshotai/Kimi-K2.6": (2.205, 5.49, 4.84),
    "moonshotai/Kimi-K2.6:peft:131072": (5.15, 12.81, 15.40),
    "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": (0.39, 0.99, 0.88),
    "openai/gpt-oss-20b": (0.18, 0.45, 0.396),
    "openai/gpt-oss-120b": (0.33, 0.84, 0.737),
    "openai/gpt-oss-120b:peft:131072": (0.78, 1.94, 2.33),
    "thinkingmachines/Inkling": (3.74, 9.36, 11.22),
    "thinkingmachines/Inkling-Small": (1.16, 2.88, 3.46),
}


def listed_prices(model: str) -> Prices | None:
    """Return the published prices of a model, or None if it is not in the list."""
    prices = LISTED.get(model)
    return Prices(*prices, source=SOURCE, date=DATE) if prices else None
