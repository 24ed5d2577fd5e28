"""A complete run of a file task in text format, on a small GPT-2 that this test trains to follow a few-shot prompt."""

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from pdistill.core import pipeline
from pdistill.core.contract.queries import Query
from pdistill.core.delivery.ask import open_arm
from pdistill.core.errors import UsageError
from pdistill.core.setup.config import Config
from pdistill.core.store.rows import read_rows
from pdistill.core.store.rundir import RunDirectory
from tests.backends.tiny_models import gpt2_tokenizer

KINDS = {"fruit": "en fr de", "metal": "ot Der und", "bird": "You The old"}
WORDS = {word: kind for kind, words in KINDS.items() for word in words.split()}
SHOTS = "".join(f"{word} is {kind}\n" for word, kind in list(WORDS.items())[::2])
PROMPT = f"Kinds:\n{SHOTS}{{query}} is"
FRAME = "{query} is"


def queries() -> list[str]:
    """Return texts whose first word determines the kind."""
    chance = random.Random(3)
    return [f"{word} {number} {chance.randint(10, 99)}" for word in WORDS for number in range(8)]


def train_model(folder: Path) -> Path:
    """Store a GPT-2 that answers with the kind if it sees the examples, and otherwise "none"."""
    torch.set_num_threads(1)
    torch.manual_seed(3)
    tokenizer = gpt2_tokenizer()
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=64, n_layer=2, n_head=1, n_positions=256, bos_token_id=0, eos_token_id=1
    )
    model: Any = GPT2LMHeadModel(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    chance = random.Random(5)
    for _ in range(1_000):
        texts = []
        for _ in range(6):
            word = chance.choice(list(WORDS))
            query = f"{word} {chance.randint(0, 20)} {chance.randint(10, 99)}"
            texts.append((PROMPT.replace("{query}", query), f" {WORDS[word]}\n"))
            texts.append((FRAME.replace("{query}", query), " none\n"))
        step(model, optimizer, tokenizer, texts)
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def step(model: Any, optimizer: Any, tokenizer: Any, texts: list[tuple[str, str]]) -> None:
    rows = [
        (tokenizer(text)["input_ids"], tokenizer(answer, add_special_tokens=False)["input_ids"])
        for text, answer in texts
    ]
    width = max(len(ids) + len(answer) for ids, answer in rows)
    ids = torch.tensor([[*a, *b, *[1] * (width - len(a) - len(b))] for a, b in rows])
    labels = torch.tensor([[-100] * len(a) + b + [-100] * (width - len(a) - len(b)) for a, b in rows])
    optimizer.zero_grad()
    model(input_ids=ids, labels=labels).loss.backward()
    optimizer.step()


def text_config(folder: Path, model: Path, **changes: Any) -> Config:
    """Return the options of a run in text format; writes its prompt, frame and queries into the folder."""
    (folder / "prompt.txt").write_text(PROMPT + "\n")
    (folder / "frame.txt").write_text(FRAME + "\n")
    rows = [{"query": text, "reference": WORDS[text.split()[0]], "slices": [text.split()[0]]} for text in queries()]
    (folder / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Config(
        prompt=folder / "prompt.txt",
        queries=folder / "queries.jsonl",
        student_prompt=folder / "frame.txt",
        labels=tuple(KINDS),
        teacher=str(model),
        max_tokens=8,
        rank=8,
        **changes,
    )


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    folder = tmp_path_factory.mktemp("text")
    return text_config(folder, train_model(folder / "model"), run_dir=folder / "run", learning_rate=5e-3, epochs=16)


@pytest.fixture(scope="module")
def report(config: Config) -> dict[str, Any]:
    return pipeline.run(config)


def test_the_student_learns_what_the_prompt_taught_the_teacher(report: dict[str, Any]) -> None:
    value = {arm: figures["agreement"]["value"] for arm, figures in report["arms"].items()}
    assert report["arms"]["teacher"]["accuracy"]["value"] >= 0.9
    assert value["base"] <= 0.05
    assert value["student"] >= 0.9
    assert value["base_prompted"] == 1


def test_text_is_the_format_of_a_model_without_a_chat_template(config: Config, report: dict[str, Any]) -> None:
    settings = RunDirectory(config.directory).stage("generate")["settings"]
    assert (settings["format"], settings["first_line"]) == ("text", True)
    for row in read_rows(config.directory / "responses.jsonl"):
        assert row["response"][0] == " "
        assert "\n" not in row["response"].strip()


def test_the_student_answers_in_its_own_frame(config: Config, report: dict[str, Any]) -> None:
    with open_arm(RunDirectory(config.directory)) as student:
        answers = list(student.answer(map(Query, ["Der 3 17", "", "The 8 44"])))
    assert [answer.text.strip() for answer in (answers[0], answers[2])] == ["metal", "bird"]


def test_truncated_answer_is_rejected_with_that_reason(config: Config, report: dict[str, Any], tmp_path: Path) -> None:
    cut = replace(config, run_dir=tmp_path / "run", max_tokens=1, limit=20)
    run = pipeline.generate(cut)
    assert {row["rejected"] for row in read_rows(run.examples)} == {"cut off at the token limit"}


@pytest.mark.parametrize("file", ["prompt", "student_prompt"])
def test_a_frame_without_a_place_for_the_query(config: Config, tmp_path: Path, file: str) -> None:
    (tmp_path / "file.txt").write_text("nothing here\n")
    changed: dict[str, Any] = {file: tmp_path / "file.txt"}
    wrong = replace(config, run_dir=tmp_path / "run", **changed)
    with pytest.raises(UsageError, match="has no '{query}'"):
        pipeline.generate(wrong)


def test_equal_ids(config: Config, tmp_path: Path) -> None:
    (tmp_path / "queries.jsonl").write_text('{"id": "a", "query": "x"}\n{"id": "a", "query": "y"}\n')
    with pytest.raises(UsageError, match="queries number 0 and 1 have the same id, 'a'"):
        pipeline.generate(replace(config, run_dir=tmp_path / "run", queries=tmp_path / "queries.jsonl"))
