"""The tokenizer: byte-level BPE whose pre-tokenizer makes a label the same token in a prompt and as an answer."""

from __future__ import annotations

import random
from collections.abc import Iterator

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from pretrain import wordings
from pretrain.corpora import NAMES, Corpora
from pretrain.labels import SINGLE_TOKENS
from pretrain.spintax import expand

VOCABULARY = 6016
END_OF_TEXT, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
SPECIAL = [END_OF_TEXT, TURN_START, TURN_END]

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

SPLIT = r"\n| ?[\p{L}\p{M}\u200c\u200d]+|\p{N}{1,2}| ?[^\s\p{L}\p{M}\p{N}\u200c\u200d]{1,4}|[^\S\n]+"
"""A newline alone, letters with their marks, up to two digits, up to four other signs, other whitespace."""


def train(corpora: Corpora, prompt: str, seed: int = 0) -> Tokenizer:
    """A tokenizer trained on the corpora and on the prompts' wordings; every label is one token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_training_texts(corpora, prompt, seed), trainer)
    missing = [label for label in SINGLE_TOKENS if len(tokenizer.encode(label).ids) != 1]
    if missing:
        raise ValueError(f"labels of more than one token: {missing}")
    return tokenizer


def _training_texts(corpora: Corpora, prompt: str, seed: int) -> Iterator[str]:
    rng = random.Random(seed)  # noqa: S311
    for language, sentences in corpora.sentences.items():
        yield from sentences
        if language in NAMES:
            yield from (_varied(sentence, rng) for sentence in rng.sample(sentences, 1000))
    for _ in range(30):
        yield prompt
        yield from (expand(wording, rng) for wording in _wordings())
    for _ in range(3000):
        yield "\n".join([*SINGLE_TOKENS, "system", "user", "assistant"])


def _varied(sentence: str, rng: random.Random) -> str:
    return rng.choice([sentence.lower(), sentence.upper(), sentence.title()])


def _wordings() -> list[str]:
    parts = [*wordings.INTRO, *wordings.FORMAT, *wordings.LIST_HEAD, *wordings.RULES_HEAD, *wordings.OTHER_TEXT]
    parts += [wording for modes in wordings.RULES.values() for mode in modes.values() for wording in mode]
    parts += [f"({text})" for texts in wordings.DESCRIPTIONS.values() for text in texts]
    return parts


def for_transformers(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    """The tokenizer as transformers loads it, with its chat template."""
    wrapped = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        eos_token=TURN_END,
        pad_token=END_OF_TEXT,
        model_max_length=4096,
        clean_up_tokenization_spaces=False,
    )
    wrapped.chat_template = CHAT_TEMPLATE
    return wrapped
