"""Adapters merged into models whose input and output embeddings are one tensor."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from pdistill.backends.local.model import adapter
from pdistill.core.contract.interfaces import Lora
from tests.backends.tiny_models import make

Models: Any = AutoModelForCausalLM


def test_a_merged_output_layer_is_no_longer_tied(tmp_path: Path) -> None:
    base = Models.from_pretrained(make("qwen2", tmp_path / "base")).eval()
    assert base.config.tie_word_embeddings
    student: Any = adapter.attach(base, Lora(rank=4), None, ["lm_head"])
    torch.manual_seed(3)
    for name, parameter in student.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.1)
    (tmp_path / "adapter").mkdir()
    adapter.write(student, tmp_path / "adapter", "base")
    ids = torch.tensor([[3, 4, 5]])
    with torch.inference_mode():
        expected = student(input_ids=ids).logits
        assert not torch.allclose(expected, base(input_ids=ids).logits, atol=1e-2)
        merged = adapter.merge(base, tmp_path / "adapter")
        merged.save_pretrained(tmp_path / "merged")
        loaded = Models.from_pretrained(tmp_path / "merged").eval()
        torch.testing.assert_close(loaded(input_ids=ids).logits, expected, atol=1e-4, rtol=1e-4)
    assert not loaded.config.tie_word_embeddings
    assert base.config.tie_word_embeddings
