"""The finished model directory: what transformers loads, written from a network and a tokenizer."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from pretrain.network import Network, Shape
from pretrain.tokenizer import END_OF_TEXT, TURN_END, for_transformers


def weights(network: Network) -> dict[str, torch.Tensor]:
    """The network's parameters under the names of transformers' Llama, in float16."""
    renamed = {}
    for name, parameter in network.named_parameters():
        for part in ("q_proj", "k_proj", "v_proj", "o_proj"):
            name = name.replace(f".{part}.", f".self_attn.{part}.")
        for part in ("gate_proj", "up_proj", "down_proj"):
            name = name.replace(f".{part}.", f".mlp.{part}.")
        name = f"{name}.weight" if name.endswith("norm") else name
        renamed[f"model.{name}"] = parameter.detach().to(torch.float16).contiguous()
    return renamed


def read_weights(network: Network, path: Path) -> None:
    """Load a file that `write` wrote into the network."""
    stored = load_file(path)
    own = dict(zip(weights(network), network.parameters(), strict=True))
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(stored[name].float())


def _config(shape: Shape, end: int, padding: int) -> dict[str, object]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.inner,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.heads,
        "hidden_act": "silu",
        "max_position_embeddings": shape.positions,
        "rms_norm_eps": 1e-06,
        "rope_theta": shape.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.rope_theta},
        "tie_word_embeddings": True,
        "head_dim": shape.head,
        "attention_bias": True,
        "mlp_bias": False,
        "attention_dropout": 0.0,
        "use_cache": True,
        "bos_token_id": None,
        "eos_token_id": end,
        "pad_token_id": padding,
        "dtype": "float32",
    }


def write(network: Network, tokenizer: Tokenizer, folder: Path) -> None:
    """Write the model directory; a reader never sees half a file."""
    folder.mkdir(parents=True, exist_ok=True)
    for_transformers(tokenizer).save_pretrained(folder)
    _name_tokenizer_class(folder / "tokenizer_config.json")
    end, padding = (tokenizer.encode(token).ids[0] for token in (TURN_END, END_OF_TEXT))
    _write_json(folder / "config.json", _config(network.shape, end, padding))
    generation = {"do_sample": False, "eos_token_id": [end, padding], "pad_token_id": padding}
    _write_json(folder / "generation_config.json", generation)
    partial = folder / "model.safetensors.partial"
    save_file(weights(network), partial, metadata={"format": "pt"})
    partial.chmod(0o644)
    partial.replace(folder / "model.safetensors")


def _name_tokenizer_class(path: Path) -> None:
    """Name the class that both transformers 4 and 5 have and that keeps the pre-tokenizer of tokenizer.json."""
    content = json.loads(path.read_text(encoding="utf-8"))
    _write_json(path, content | {"tokenizer_class": "PreTrainedTokenizerFast"})


def _write_json(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
