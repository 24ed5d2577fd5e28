"""Whole runs with models whose chat templates differ: what can't be rendered is said before the first answer."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from pdistill.backends.local.export.chat_template import export_template
from pdistill.backends.rendering import TemplateRenderer
from pdistill.core import pipeline
from pdistill.core.contract.prompts import framed
from pdistill.core.delivery.export import export
from pdistill.core.errors import BackendError, ContextError
from pdistill.core.setup.config import Config
from pdistill.core.store.answerrow import AnswerRow
from pdistill.core.store.rows import read_records
from tests.backends.chat_families import LABELS, tokenizer_of
from tests.backends.tiny_models import SHAPE

PROMPT = "Name the kind of request.\nFirst:repair\nSecond:fix\nThird:replace"


def model_of(family: str, folder: Path, **changes: Any) -> str:
    """Store a random model with the tokenizer of a family, and return its name."""
    tokenizer = tokenizer_of(family)
    torch.manual_seed(2)
    model: Any = LlamaForCausalLM(LlamaConfig(**{**SHAPE, **changes}, vocab_size=len(tokenizer)))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return f"local:{folder}"


def config(folder: Path, prompt: str = PROMPT, queries: int = 40, **changes: Any) -> Config:
    """Return the options of a small run with labels."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prompt.txt").write_text(prompt)
    rows = ({"query": f"It is {at**7:x}"} for at in range(queries))
    (folder / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings: dict[str, Any] = {"teacher": "fake:rule", "labels": LABELS, "max_tokens": 8, "rank": 4, "epochs": 1}
    return Config(
        prompt=folder / "prompt.txt",
        queries=folder / "queries.jsonl",
        run_dir=folder / "run",
        **{**settings, **changes},
    )


def test_a_student_without_a_system_role_is_known_before_the_first_answer(tmp_path: Path) -> None:
    asked = config(tmp_path, student=model_of("gemma", tmp_path / "model"))
    with pytest.raises(
        BackendError,
        match=r"rejects the messages \(system, user\): System role not supported; write \{query\} into the prompt file",
    ):
        pipeline.generate(asked)
    assert not (tmp_path / "run").exists()
    placed = config(tmp_path, f"{PROMPT}\n\n{{query}}", student=asked.student)
    assert pipeline.generate(placed).examples.exists()


def test_moving_the_prompt_alone_reuses_the_answers_to_the_same_tokens(tmp_path: Path) -> None:
    teacher = model_of("mistral-v1", tmp_path / "model")
    first = pipeline.generate(config(tmp_path / "first", teacher=teacher, labels=None))
    moved = config(tmp_path / "moved", f"{PROMPT}\n\n{{query}}", teacher=teacher, labels=None, from_run=first.path)
    rows = list(read_records(AnswerRow, pipeline.generate(moved).responses(1).path))
    assert len(rows) == 40
    assert all(row.reused for row in rows)
    before = list(read_records(AnswerRow, first.responses(1).path))
    assert [row.response for row in rows] == [row.response for row in before]
    assert all(row.prompt != old.prompt for row, old in zip(rows, before, strict=True))

    other = config(tmp_path / "other", f"{PROMPT}\n{{query}}", teacher=teacher, labels=None, from_run=first.path)
    assert not any(row.reused for row in read_records(AnswerRow, pipeline.generate(other).responses(1).path))


def test_a_query_that_is_too_long_for_the_student_is_named_before_the_first_answer(tmp_path: Path) -> None:
    asked = config(tmp_path, student=model_of("chatml", tmp_path / "model"))
    with asked.queries.open("a") as file:  # type: ignore[union-attr]
        file.write(json.dumps({"id": "long", "query": "pump " * 200}) + "\n")
    with pytest.raises(
        ContextError, match="query 'long' does not fit: .* up to 8 answer tokens exceed .* of 256 tokens"
    ):
        pipeline.generate(asked)
    assert not (tmp_path / "run").exists()


def test_a_label_that_the_teacher_can_not_be_constrained_to_is_named(tmp_path: Path) -> None:
    teacher = model_of("mistral-v1", tmp_path / "model")
    with pytest.raises(BackendError, match="has no tokens for the answer '<s>'"):
        pipeline.generate(replace(config(tmp_path, teacher=teacher), labels=("fix", "<s>"), constrain=True))
    assert not (tmp_path / "run").exists()


class Clock(date):
    """A date whose today can be set."""

    now = date(2026, 3, 7)

    @classmethod
    def today(cls) -> "Clock":
        """Return the day that was set."""
        return cls.fromordinal(cls.now.toordinal())


def test_the_day_that_a_template_writes_belongs_to_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pdistill.backends.template_day.date", Clock)
    asked = config(tmp_path, student=model_of("llama-3", tmp_path / "model"))
    run = pipeline.generate(asked)
    assert json.loads((run.path / "generate.json").read_text())["resolved"]["student"]["date"] == "2026-03-07"
    monkeypatch.setattr(Clock, "now", date(2026, 3, 8))
    pipeline.run(asked)
    assert json.loads((run.path / "train.json").read_text())["resolved"]["student"]["date"] == "2026-03-07"
    monkeypatch.setattr(Clock, "now", date(2026, 3, 9))
    export(run, tmp_path / "out", merge=True)
    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path / "out")
    text = tokenizer.apply_chat_template([{"role": "user", "content": "It is 1"}], tokenize=False)
    assert "Today Date: 07 Mar 2026" in text


def test_a_tokenizer_that_is_larger_than_the_model_is_named_before_the_first_answer(tmp_path: Path) -> None:
    asked = config(tmp_path, student=model_of("chatml", tmp_path / "model"))
    settings = tmp_path / "model" / "config.json"
    size = len(tokenizer_of("chatml"))
    settings.write_text(settings.read_text().replace(f'"vocab_size": {size}', f'"vocab_size": {size - 1}'))
    with pytest.raises(
        BackendError, match=r"has the token '<\|im_end\|>', number \d+, but the model has embeddings for"
    ):
        pipeline.generate(asked)
    assert not (tmp_path / "run").exists()


def test_a_student_that_answers_in_channels_is_not_exported_with_their_names_in_its_answers(tmp_path: Path) -> None:
    renderer = TemplateRenderer(tokenizer_of("gpt-oss"), "oss")
    with pytest.raises(BackendError, match=r"its model writes '<\|channel\|>final<\|message\|>' before an answer"):
        export_template(renderer, framed("{query}", "{query}", "chat"))
