"""Tiny models taught on the renderings of a template: what they answer, free and constrained to labels."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from pdistill.backends.local.backend import LocalBackend
from pdistill.backends.local.options import LocalOptions
from pdistill.backends.local.vllm.sampler import _written
from pdistill.backends.rendering import TemplateRenderer
from pdistill.core.contract.prompts import framed
from pdistill.core.contract.sampling import Allowed, Key, Request, Sampling
from tests.backends.chat_families import FAMILIES, LABELS, tokenizer_of
from tests.backends.tiny_models import SHAPE

QUERIES = ("The pump is broken", "It is 12", "All of it", "where?")
STEPS = 60


def taught(name: str, folder: Path) -> Path:
    """Store a model that answers each query with its label as the family's own template renders it."""
    tokenizer = tokenizer_of(name)
    torch.manual_seed(1)
    model: Any = LlamaForCausalLM(LlamaConfig(**{**SHAPE, "initializer_range": 0.1}, vocab_size=len(tokenizer)))
    rows = []
    for query, label in zip(QUERIES, LABELS, strict=True):
        messages = [{"role": "user", "content": query}, {"role": "assistant", "content": label}]
        text = tokenizer.apply_chat_template(messages, tokenize=False, enable_thinking=False) + FAMILIES[name].end
        rows.append(torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]]))
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(STEPS):
        loss: Any = torch.stack([model(input_ids=row, labels=row).loss for row in rows]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.generation_config.eos_token_id = tokenizer.convert_tokens_to_ids(FAMILIES[name].end)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    "name", ["mistral-v1", "mistral-v3", "llama-2", "phi-3", "jamba", "glm-4", "gpt-oss", "chatml"]
)
def test_a_taught_model_is_right_free_and_constrained(name: str, tmp_path: Path) -> None:
    teacher = LocalBackend(LocalOptions(engine="torch")).teacher(str(taught(name, tmp_path)))
    requests = [Request(Key(at), framed("{query}", query, "chat")) for at, query in enumerate(QUERIES)]
    with teacher.sampler() as sampler:
        for allowed in (None, Allowed(labels=LABELS)):
            answers = dict(sampler.generate(requests, Sampling(max_tokens=12, allowed=allowed)))
            assert [answers[request.key].text.strip() for request in requests] == list(LABELS)
            assert {answer.finish for answer in answers.values()} == {"stop"}


@pytest.mark.parametrize(
    ("name", "text"), [("mistral-v1", " fix"), ("phi-3", " fix"), ("glm-4", "\nfix"), ("chatml", "fix")]
)
def test_vllm_is_constrained_to_labels_with_the_whitespace_before_them(name: str, text: str) -> None:
    prompt = framed("{query}", "It is 12", "chat")
    assert _written(TemplateRenderer(tokenizer_of(name), name), prompt, "fix") == text
