"""Small random models of several families, made by the tests and stored as any other model is."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)
from transformers.utils import logging

quiet: Any = logging
FastTokenizer: Any = PreTrainedTokenizerFast

WORDS = (
    "You are a careful clerk. Name the language of the text and say nothing else. "
    "The river is wide today; where does the old road end? Der Fluss ist heute breit, und die Straße ist alt. "
    "Labels: en de fr ot. Hola, ¿qué tal? 12 apples and 30 pears, all green.\n"
)
CHAT_TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nYou help.<|im_end|>\\n' }}{% endif %}"
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}"
    "{% if enable_thinking is defined and not enable_thinking %}{{ '<think></think>\\n' }}{% endif %}{% endif %}"
)
SHAPE: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
    "head_dim": 64,
    "max_position_embeddings": 256,
    "initializer_range": 0.3,
}


def make(family: str, folder: Path, **changes: Any) -> Path:
    """Store a model of the family in a folder, and return the folder.

    Families: "llama", "qwen2", "qwen3", "mistral", "gemma3", "gpt2" and "bloom"; the last two have no chat template.
    """
    tokenizer = gpt2_tokenizer() if family in ("gpt2", "bloom") else chat_tokenizer()
    torch.manual_seed(7)
    shape = {
        **SHAPE,
        "vocab_size": len(tokenizer),
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": None,
        **changes,
    }
    model: Any
    if family == "gpt2":
        shape = {"vocab_size": len(tokenizer), "n_embd": 64, "n_layer": 2, "n_head": 1, "n_positions": 256}
        model = GPT2LMHeadModel(GPT2Config(**shape, initializer_range=0.3, bos_token_id=0, eos_token_id=1))
    elif family == "bloom":
        shape = {"vocab_size": len(tokenizer), "hidden_size": 64, "n_layer": 2, "n_head": 4, "initializer_range": 0.3}
        model = BloomForCausalLM(BloomConfig(**shape, bos_token_id=0, eos_token_id=1))
    elif family == "gemma3":
        kinds = ["sliding_attention", "full_attention"]
        model = Gemma3ForCausalLM(Gemma3TextConfig(**{"sliding_window": 24, **shape}, layer_types=kinds))
    elif family == "llama":
        model = LlamaForCausalLM(LlamaConfig(**shape))
    elif family == "qwen2":
        model = Qwen2ForCausalLM(Qwen2Config(**shape, tie_word_embeddings=True))
    elif family == "qwen3":
        model = Qwen3ForCausalLM(Qwen3Config(**shape))
    else:
        model = MistralForCausalLM(MistralConfig(**shape, sliding_window=24))
    quiet.disable_progress_bar()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def chat_tokenizer() -> Any:
    """Return a byte-level tokenizer with a ChatML template that adds a system message of its own."""
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = FastTokenizer(
        tokenizer_object=_byte_level(special), eos_token="<|endoftext|>", pad_token="<|endoftext|>"
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def gpt2_tokenizer() -> Any:
    """Return a tokenizer without a chat template that puts a start token before every text."""
    tokenizer = _byte_level(["<s>", "</s>"])
    start = tokenizer.token_to_id("<s>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", start)]
    )
    return FastTokenizer(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


def _byte_level(special: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([WORDS], trainer)
    return tokenizer
