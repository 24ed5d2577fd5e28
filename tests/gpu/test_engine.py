"""The torch engine against transformers' `generate` on the same device.

In float32 the tokens are the same. In 16 bits two tokens may be so close that the order of a sum decides between them, so
answers may diverge only there, and log-probabilities are compared: those of the engine for `generate`'s tokens may differ
from `generate`'s own by TOLERANCE nats, and on average be at most twice as far from those of float32.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pdistill.core.contract.sampling import Allowed, Sampling
from tests.gpu import internals
from tests.gpu.device import HALVES
from tests.gpu.internals import CascadeEngine, Decoder
from tests.gpu.rows import PREFIX, ROWS, requests

FAMILIES = ("llama", "qwen2", "qwen3", "mistral", "gemma3", "gpt2", "bloom")
MAX_NEW_TOKENS = [1, 9, 30, 2, 4, 1, 7]
TOLERANCE = {"bfloat16": 0.5, "float16": 0.06}
"""Nats. The logits of these models reach about 20, of which bfloat16 keeps 8 bits and float16 keeps 11."""


def greedy(decoder: Decoder, prefix: list[int]) -> list[list[int]]:
    """The engine's tokens for each row, MAX_NEW_TOKENS of them."""
    answers: list[list[int]] = [[] for _ in ROWS]

    def choose(numbers: Sequence[int], logits: torch.Tensor) -> list[int | None]:
        for number, token in zip(numbers, logits.argmax(-1).tolist(), strict=True):
            answers[number].append(token)
        return [answers[number][-1] if len(answers[number]) < MAX_NEW_TOKENS[number] else None for number in numbers]

    for _ in decoder.engine.decode(ROWS, decoder.prefix(prefix), max(MAX_NEW_TOKENS), choose):
        pass
    return answers


def generated(model: Any, ids: list[int], max_new_tokens: int) -> tuple[list[int], torch.Tensor]:
    """The tokens that `generate` returns for one row alone, and the log-probabilities (N, V) that it chose from."""
    tensor = torch.tensor([ids], device=model.device)
    output = model.generate(
        tensor,
        attention_mask=torch.ones_like(tensor),
        do_sample=False,
        max_new_tokens=max_new_tokens,
        eos_token_id=None,
        pad_token_id=0,
        output_logits=True,
        return_dict_in_generate=True,
    )
    tokens: list[int] = output.sequences[0, len(ids) :].tolist()
    return tokens, torch.log_softmax(torch.cat(output.logits).float(), -1)


def scored(decoder: Decoder, prefix: list[int], answers: list[list[int]]) -> dict[int, torch.Tensor]:
    """The engine's log-probabilities of each row's answer, token by token."""
    rows = [[*row, *answer[:-1]] for row, answer in zip(ROWS, answers, strict=True)]
    logits = decoder.engine.logits(rows, decoder.prefix(prefix), MAX_NEW_TOKENS)
    return {row: chosen(torch.log_softmax(part.float(), -1), answers[row]) for row, part in logits}


def chosen(logprobs: torch.Tensor, tokens: list[int]) -> torch.Tensor:
    return logprobs.gather(-1, torch.tensor(tokens, device=logprobs.device)[:, None])[:, 0]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("prefix", [PREFIX, []], ids=["after a prefix", "without a prefix"])
def test_float32_gives_the_tokens_of_generate(
    folders: dict[str, Path], device: str, family: str, prefix: list[int]
) -> None:
    model = internals.model(folders[family], device, "float32")
    decoder = Decoder(model, family)
    assert isinstance(decoder.engine, CascadeEngine) == (family != "bloom")
    expected = [generated(model, [*prefix, *row], tokens)[0] for row, tokens in zip(ROWS, MAX_NEW_TOKENS, strict=True)]
    assert greedy(decoder, prefix) == expected


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", HALVES)
def test_16_bits_give_the_tokens_of_generate_but_for_near_ties(
    folders: dict[str, Path], device: str, family: str, dtype: internals.Dtype
) -> None:
    model, exact = (internals.model(folders[family], device, kind) for kind in (dtype, "float32"))
    decoder = Decoder(model, family)
    assert isinstance(decoder.engine, CascadeEngine) == (family != "bloom")
    alone = [generated(model, [*PREFIX, *row], tokens) for row, tokens in zip(ROWS, MAX_NEW_TOKENS, strict=True)]
    answers = [tokens for tokens, _ in alone]
    for ours, (tokens, logprobs) in zip(greedy(decoder, PREFIX), alone, strict=True):
        i = next((i for i, token in enumerate(tokens) if ours[i] != token), None)
        if i is not None:
            assert logprobs[i, tokens[i]] - logprobs[i, ours[i]] <= TOLERANCE[dtype]
    actual, right = scored(decoder, PREFIX, answers), scored(Decoder(exact, family), PREFIX, answers)
    theirs = {row: chosen(logprobs, tokens) for row, (tokens, logprobs) in enumerate(alone)}
    assert all((actual[row] - theirs[row]).abs().max() <= TOLERANCE[dtype] for row in actual)
    errors = [
        torch.cat([(part[row] - right[row]).abs() for row in sorted(right)]).mean().item() for part in (actual, theirs)
    ]
    assert errors[0] <= 2 * errors[1] + TOLERANCE[dtype] / 50, errors


@pytest.mark.parametrize("dtype", ["float32", *HALVES])
def test_sampled_answers_depend_only_on_their_seeds(
    folders: dict[str, Path], device: str, dtype: internals.Dtype
) -> None:
    sampling = Sampling(max_tokens=8, temperature=1.0, top_p=0.9)
    with internals.teacher(folders["llama"], device, dtype).sampler() as sampler:
        first, again = (dict(sampler.generate(requests(), sampling)) for _ in range(2))
        other = dict(sampler.generate([replace(request, seed=request.seed + 99) for request in requests()], sampling))
    assert first == again
    assert first != other


@pytest.mark.parametrize("dtype", ["float32", *HALVES])
def test_answers_are_constrained_to_labels(folders: dict[str, Path], device: str, dtype: internals.Dtype) -> None:
    sampling = Sampling(max_tokens=20, allowed=Allowed(labels=("one", "two", "three")))
    with internals.teacher(folders["qwen3"], device, dtype).sampler() as sampler:
        answers = dict(sampler.generate(requests(), sampling))
    assert {answer.text for answer in answers.values()} <= {"one", "two", "three"}
    assert {answer.finish for answer in answers.values()} == {"stop"}
