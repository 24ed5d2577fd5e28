"""Exports of local students: what stands in them, and that plain PEFT and transformers answer by them as the run did."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from jinja2 import TemplateError
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoTokenizer, GenerationConfig

from pdistill.core.contract.prompts import Message, Messages, Text
from pdistill.core.contract.task import FileTask
from pdistill.core.delivery.export import export
from pdistill.core.errors import BackendError
from tests.backends.local_runs import CHAT_FRAME, LocalRun, run_student

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing`:FutureWarning"
)  # PEFT's, in the card's script

RUNS = {"chat": ("qwen3", CHAT_FRAME), "bare chat": ("llama", "{query}"), "text": ("gpt2", "{query}\tis")}


@pytest.fixture(scope="module", params=RUNS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LocalRun:
    return run_student(tmp_path_factory.mktemp("export"), *RUNS[request.param])


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> LocalRun:
    return run_student(tmp_path_factory.mktemp("text"), *RUNS["text"])


def answer_by_card(folder: Path, query: str) -> str:
    """Return what the script in the model card prints for a query."""
    found = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    assert found
    script = found[1].replace('".", "your query"', f"{str(folder)!r}, {query!r}").replace("print(", "printed.append(")
    assert "pdistill" not in script.replace(str(folder), "")
    printed: list[str] = []
    exec(compile(script, "README.md", "exec"), {"printed": printed})
    return printed[0]


@pytest.mark.parametrize("merge", [False, True])
def test_the_script_in_the_model_card_gives_the_recorded_answers(run: LocalRun, tmp_path: Path, merge: bool) -> None:
    parity = export(run.directory, tmp_path / "out", merge=merge)
    assert parity.queries == parity.equal == len(run.answers) > 5
    printed = {query: answer_by_card(tmp_path / "out", query) for query in run.answers}
    assert printed == run.answers


def test_a_merged_export_is_a_float32_model_that_decodes_greedily(text: LocalRun, tmp_path: Path) -> None:
    export(text.directory, tmp_path / "out", merge=True)
    config: Any = AutoConfig.from_pretrained(tmp_path / "out")
    settings: Any = GenerationConfig.from_pretrained(tmp_path / "out")
    assert config.dtype == torch.float32
    assert (settings.do_sample, settings.eos_token_id, settings.max_new_tokens) == (False, [1], 6)
    assert {tensor.dtype for tensor in load_file(tmp_path / "out" / "model.safetensors").values()} == {torch.float32}


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_every_file_can_be_read_by_whom_the_umask_lets(text: LocalRun, tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        export(text.directory, tmp_path / "out", merge=True)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()}
    assert modes == dict.fromkeys(modes, mode)
    assert "model.safetensors" in modes


def test_a_run_in_half_precision_may_differ_in_one_answer_of_a_hundred(tmp_path: Path) -> None:
    half = run_student(tmp_path / "half", *RUNS["text"], backend_options={"student.dtype": "bfloat16"})
    weights = half.directory.adapter / "adapter_model.safetensors"
    save_file({name: -5 * tensor for name, tensor in load_file(weights).items()}, weights)
    with pytest.raises(BackendError, match=r"only \d+ of \d+ held-out answers .* 99.00% are required"):
        export(half.directory, tmp_path / "out")
    assert export(half.directory, tmp_path / "out", min_parity=0, merge=True).queries == len(half.answers)
    config: Any = AutoConfig.from_pretrained(tmp_path / "out")
    assert config.dtype == torch.float32


def test_the_template_of_a_chat_student_still_takes_a_conversation(run: LocalRun, tmp_path: Path) -> None:
    export(run.directory, tmp_path / "out")
    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path / "out")
    turns = [{"role": role, "content": role} for role in ("system", "user", "assistant")]
    if "raise_exception" in tokenizer.chat_template:
        with pytest.raises(TemplateError, match="one user message at a time"):
            tokenizer.apply_chat_template(turns, tokenize=False)
        return
    said = tokenizer.apply_chat_template(turns, tokenize=False)
    assert said.endswith("<|im_start|>assistant\nassistant<|im_end|>\n")
    assert said.startswith("<|im_start|>system\nsystem<|im_end|>")


def test_an_adapter_names_its_base_by_a_path_that_holds_anywhere(text: LocalRun, tmp_path: Path) -> None:
    export(text.directory, tmp_path / "out")
    config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    assert Path(config["base_model_name_or_path"]).is_absolute()


def test_an_adapter_that_is_not_the_evaluated_one_is_refused(text: LocalRun, tmp_path: Path) -> None:
    weights = text.directory.adapter / "adapter_model.safetensors"
    before = weights.read_bytes()
    try:
        save_file({name: -5 * tensor for name, tensor in load_file(weights).items()}, weights)
        with pytest.raises(BackendError, match=r"only \d+ of \d+ held-out answers .* 100.00% are required"):
            export(text.directory, tmp_path / "out")
        assert list(tmp_path.iterdir()) == []
        assert export(text.directory, tmp_path / "out", min_parity=0).equal < len(text.answers)
    finally:
        weights.write_bytes(before)


def test_a_prompt_that_depends_on_more_than_the_query_is_refused(
    text: LocalRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FileTask, "student_prompt", lambda task, query: Text(f"{len(query.text)} {query.text} is"))
    with pytest.raises(BackendError, match="no chat template can be made for this student: the prompt of query '"):
        export(text.directory, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_prompt_of_several_messages_is_refused(
    text: LocalRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = Messages((Message("system", "Be brief."), Message("user", "{query}")))
    monkeypatch.setattr(FileTask, "student_prompt", lambda task, query: several)
    with pytest.raises(BackendError, match="must be one user message, and it has the messages system, user"):
        export(text.directory, tmp_path / "out")
