"""Tokenizers with the structure of public chat models: what their templates and tokens do around an answer, in few lines."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

FastTokenizer: Any = PreTrainedTokenizerFast

LABELS = ("repair", "fix", "replace", "air")
WORDS = (
    "You are a careful clerk. Name the kind of request. [INST] The pump is broken, repair it, fix it or replace it. "
    "air repair replace fix repair fix air replace\nassistant\nuser\nsystem\nmodel\n A question. An answer. final analysis "
)
SYSTEM_IN_USER = (
    "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] %}{% set turns = messages[1:] %}"
    "{% else %}{% set system = none %}{% set turns = messages %}{% endif %}"
)
TURNS_ALTERNATE = (
    "{% for m in turns %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate user and assistant') }}{% endif %}{% endfor %}"
)


@dataclass(frozen=True)
class Family:
    """The structure of one family of chat models.

    Args:
        template: its chat template.
        special: its special tokens; the first one ends a text, the second begins it where `starts` is set.
        end: the token after an answer.
        pieces: "legacy" is SentencePiece with a space put before every text, "none" before none; "bytes" is byte-level.
        rstrip: whether special tokens swallow the whitespace after them.
        system: whether the template takes a system message.
    """

    template: str
    special: tuple[str, ...]
    end: str
    pieces: str = "bytes"
    rstrip: bool = False
    system: bool = True


def _each(body: str, before: str = "", opening: str = "") -> str:
    asked = f"{{% if add_generation_prompt %}}{opening}{{% endif %}}" if opening else ""
    return f"{before}{{% for m in messages %}}{body}{{% endfor %}}{asked}"


FAMILIES: Mapping[str, Family] = {
    "mistral-v1": Family(
        SYSTEM_IN_USER + TURNS_ALTERNATE + "{{ '<s>' }}{% for m in turns %}{% if m['role'] == 'user' %}"
        "{{ '[INST] ' + (system + '\n\n' if loop.first and system else '') + m['content'] + ' [/INST]' }}"
        "{% else %}{{ ' ' + m['content'] + '</s>' }}{% endif %}{% endfor %}",
        ("</s>", "<s>", "<unk>"),
        "</s>",
        "legacy",
    ),
    "mistral-v3": Family(
        SYSTEM_IN_USER + TURNS_ALTERNATE + "{{ '<s>' }}{% for m in turns %}{% if m['role'] == 'user' %}"
        "{{ '[INST] ' + (system + '\n\n' if loop.last and system else '') + m['content'] + '[/INST]' }}"
        "{% else %}{{ ' ' + m['content'] + '</s>' }}{% endif %}{% endfor %}",
        ("</s>", "<s>", "<unk>", "[INST]", "[/INST]"),
        "</s>",
        "legacy",
    ),
    "llama-2": Family(
        SYSTEM_IN_USER + "{% for m in turns %}{% if m['role'] == 'user' %}{{ '<s>' + '[INST] ' + "
        "('<<SYS>>\n' + system + '\n<</SYS>>\n\n' if loop.first and system else '') + m['content'].strip() + ' [/INST]' }}"
        "{% else %}{{ ' ' + m['content'].strip() + ' ' + '</s>' }}{% endif %}{% endfor %}",
        ("</s>", "<s>", "<unk>"),
        "</s>",
        "legacy",
    ),
    "llama-3": Family(
        SYSTEM_IN_USER
        + "{{ '<|begin|><|header|>system<|header_end|>\n\nToday Date: ' + strftime_now('%d %b %Y') + '\n\n' "
        "+ (system or '') + '<|eot|>' }}{% for m in turns %}"
        "{{ '<|header|>' + m['role'] + '<|header_end|>\n\n' + m['content'] | trim + '<|eot|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|header|>assistant<|header_end|>\n\n' }}{% endif %}",
        ("<|end_of_text|>", "<|begin|>", "<|header|>", "<|header_end|>", "<|eot|>"),
        "<|eot|>",
    ),
    "phi-3": Family(
        _each("{{ '<|' + m['role'] + '|>\n' + m['content'] + '<|end|>\n' }}", opening="{{ '<|assistant|>\n' }}"),
        ("</s>", "<s>", "<unk>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"),
        "<|end|>",
        "legacy",
        rstrip=True,
    ),
    "gemma": Family(
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
        + _each(
            "{{ '<start_of_turn>' + ('model' if m['role'] == 'assistant' else m['role']) + '\n' + m['content'] | trim "
            "+ '<end_of_turn>\n' }}",
            "{{ '<bos>' }}",
            "{{ '<start_of_turn>model\n' }}",
        ),
        ("<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"),
        "<end_of_turn>",
        "none",
        system=False,
    ),
    "qwen-3": Family(
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
        "{% if m['role'] == 'assistant' and loop.last %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
        "{{ m['content'] + '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
        "{% if enable_thinking is defined and not enable_thinking %}{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}",
        ("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        "<|im_end|>",
    ),
    "chatml": Family(
        _each(
            "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}",
            opening="{{ '<|im_start|>assistant\n' }}",
        ),
        ("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        "<|im_end|>",
    ),
    "glm-4": Family(
        _each("{{ '<|' + m['role'] + '|>\n' + m['content'] }}", "{{ '[gMASK]<sop>' }}", "{{ '<|assistant|>' }}"),
        ("<|endoftext|>", "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>"),
        "<|endoftext|>",
    ),
    "jamba": Family(
        _each(
            "{{ '<|bom|><|' + m['role'] + '|> ' + m['content'] + '<|eom|>' }}",
            "{{ '<|startoftext|>' }}",
            "{{ '<|bom|><|assistant|>' }}",
        ),
        ("<|endoftext|>", "<|startoftext|>", "<unk>", "<|bom|>", "<|eom|>", "<|system|>", "<|user|>", "<|assistant|>"),
        "<|eom|>",
        "legacy",
    ),
    "gpt-oss": Family(
        "{{ '<|start|>system<|message|>Current date: ' + strftime_now('%Y-%m-%d') + '<|end|>' }}{% for m in messages %}"
        "{% if m['role'] == 'assistant' %}{{ '<|start|>assistant<|channel|>final<|message|>' + m['content'] }}"
        "{{ '<|return|>' if loop.last else '<|end|>' }}"
        "{% else %}{{ '<|start|>' + m['role'] + '<|message|>' + m['content'] + '<|end|>' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|start|>assistant' }}{% endif %}",
        ("<|endoftext|>", "<|start|>", "<|message|>", "<|channel|>", "<|end|>", "<|return|>", "<|call|>"),
        "<|return|>",
    ),
    "zephyr": Family(
        _each("{{ '<|' + m['role'] + '|>\n' + m['content'] + '</s>\n' }}", opening="{{ '<|assistant|>\n' }}"),
        ("</s>", "<s>", "<unk>"),
        "</s>",
        "legacy",
    ),
    "deepseek": Family(
        SYSTEM_IN_USER + "{{ '<｜begin｜>' + (system or '') }}{% for m in turns %}{% if m['role'] == 'user' %}"
        "{{ '<｜User｜>' + m['content'] }}{% else %}{{ '<｜Assistant｜>' + m['content'] + '<｜end｜>' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<｜Assistant｜>' }}{% endif %}",
        ("<｜end｜>", "<｜begin｜>", "<｜User｜>", "<｜Assistant｜>"),
        "<｜end｜>",
    ),
}
"""By name. Mistral, Llama, Phi-3, Gemma, Jamba and Zephyr split text as SentencePiece does, the others byte by byte."""


@cache
def tokenizer_of(name: str) -> Any:
    """Return the tokenizer of a family, with its chat template."""
    family = FAMILIES[name]
    inner = _byte_level() if family.pieces == "bytes" else sentence_pieces(family.pieces)
    inner.add_special_tokens([AddedToken(token, special=True, rstrip=family.rstrip) for token in family.special])
    tokenizer = FastTokenizer(tokenizer_object=inner, eos_token=family.special[0], pad_token=family.special[0])
    tokenizer.chat_template = family.template
    return tokenizer


def sentence_pieces(spaces: str) -> Tokenizer:
    """Return a tokenizer that splits whole texts into pieces, with spaces as "▁" and unknown characters as bytes.

    Args:
        spaces: "legacy": "▁" before every text, and every text between special tokens; "none": before none.
    """
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    replace = normalizers.Replace(" ", "▁")
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), replace]) if spaces == "legacy" else replace
    steps: list[Any] = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*steps, decoders.Strip(" ", 1, 0)] if spaces == "legacy" else steps)
    pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=pieces, show_progress=False)
    tokenizer.train_from_iterator([f"{before}{word}" for word in WORDS.split(" ") for before in ("", " ", "")], trainer)
    return _with_ordinary_bytes(tokenizer)


def _with_ordinary_bytes(tokenizer: Tokenizer) -> Tokenizer:
    """Return the tokenizer with its byte pieces as ordinary ones, which no text is split at."""
    content = json.loads(tokenizer.to_str())
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] == "<unk>"]
    return Tokenizer.from_str(json.dumps(content))


def _byte_level() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=340, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([WORDS], trainer)
    return tokenizer
