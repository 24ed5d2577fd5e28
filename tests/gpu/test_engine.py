"""The torch engine against transformers' `generate` on the same device.

In float32 the tokens are the same. In 16 bits two tokens may be so near to each other that the order of a sum decides, so
tokens may part only there, and log-probabilities are compared: ours of `generate`'s tokens may differ from `generate`'s own
by NEAR nats, and be at most twice as far from those of float32 on average.
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
from tests.gpu.internals import Cascade, Decoder
from tests.gpu.rows import PREFIX, ROWS, requests

FAMILIES = ("llama", "qwen2", "qwen3", "mistral", "gemma3", "gpt2", "bloom")
MOST = [1, 9, 30, 2, 4, 1, 7]
NEAR = {"bfloat16": 0.5, "float16": 0.06}
"""Nats. The logits of these models go to some 20, of which bfloat16 keeps 8 bits and float16 keeps 11."""


def greedy(runner: Decoder, prefix: list[int]) -> list[list[int]]:
    """The engine's tokens of each row, as many as MOST says."""
    given: list[list[int]] = [[] for _ in ROWS]

    def choose(numbers: Sequence[int], logits: torch.Tensor) -> list[int | None]:
        for number, token in zip(numbers, logits.argmax(-1).tolist(), strict=True):
            given[number].append(token)
        return [given[number][-1] if len(given[number]) < MOST[number] else None for number in numbers]

    for _ in runner.engine.answers(ROWS, runner.prefix(prefix), len(prefix), max(MOST), choose):
        pass
    return given


def generated(model: Any, ids: list[int], most: int) -> tuple[list[int], torch.Tensor]:
    """The tokens that `generate` gives one row alone, and the log-probabilities (N, V) that it chose by."""
    tensor = torch.tensor([ids], device=model.device)
    given = model.generate(
        tensor,
        attention_mask=torch.ones_like(tensor),
        do_sample=False,
        max_new_tokens=most,
        eos_token_id=None,
        pad_token_id=0,
        output_logits=True,
        return_dict_in_generate=True,
    )
    tokens: list[int] = given.sequences[0, len(ids) :].tolist()
    return tokens, torch.log_softmax(torch.cat(given.logits).float(), -1)


def scored(runner: Decoder, prefix: list[int], answers: list[list[int]]) -> dict[int, torch.Tensor]:
    """The engine's log-probabilities of each row's answer, token by token."""
    rows = [[*row, *answer[:-1]] for row, answer in zip(ROWS, answers, strict=True)]
    logits = runner.engine.logits(rows, runner.prefix(prefix), len(prefix), MOST)
    return {row: chosen(torch.log_softmax(part.float(), -1), answers[row]) for row, part in logits}


def chosen(logprobs: torch.Tensor, tokens: list[int]) -> torch.Tensor:
    return logprobs.gather(-1, torch.tensor(tokens, device=logprobs.device)[:, None])[:, 0]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("prefix", [PREFIX, []], ids=["behind a prefix", "bare"])
def test_float32_gives_the_tokens_of_generate(
    folders: dict[str, Path], device: str, family: str, prefix: list[int]
) -> None:
    model = internals.model(folders[family], device, "float32")
    runner = Decoder(model, family)
    assert isinstance(runner.engine, Cascade) == (family != "bloom")
    expected = [generated(model, [*prefix, *row], most)[0] for row, most in zip(ROWS, MOST, strict=True)]
    if not runner.shares:
        prefix = []
    assert greedy(runner, prefix) == expected


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", HALVES)
def test_16_bits_give_the_tokens_of_generate_but_for_near_ties(
    folders: dict[str, Path], device: str, family: str, dtype: internals.Dtype
) -> None:
    model, exact = (internals.model(folders[family], device, kind) for kind in (dtype, "float32"))
    runner = Decoder(model, family)
    assert isinstance(runner.engine, Cascade) == (family != "bloom")
    alone = [generated(model, [*PREFIX, *row], most) for row, most in zip(ROWS, MOST, strict=True)]
    answers = [tokens for tokens, _ in alone]
    for ours, (tokens, logprobs) in zip(greedy(runner, PREFIX), alone, strict=True):
        apart = next((place for place, token in enumerate(tokens) if ours[place] != token), None)
        if apart is not None:
            assert logprobs[apart, tokens[apart]] - logprobs[apart, ours[apart]] <= NEAR[dtype]
    given, right = scored(runner, PREFIX, answers), scored(Decoder(exact, family), PREFIX, answers)
    theirs = {row: chosen(logprobs, tokens) for row, (tokens, logprobs) in enumerate(alone)}
    assert all((given[row] - theirs[row]).abs().max() <= NEAR[dtype] for row in given)
    errors = [
        torch.cat([(part[row] - right[row]).abs() for row in sorted(right)]).mean().item() for part in (given, theirs)
    ]
    assert errors[0] <= 2 * errors[1] + NEAR[dtype] / 50, errors


@pytest.mark.parametrize("dtype", ["float32", *HALVES])
def test_drawn_answers_depend_on_their_seeds_alone(
    folders: dict[str, Path], device: str, dtype: internals.Dtype
) -> None:
    drawn = Sampling(max_tokens=8, temperature=1.0, top_p=0.9)
    with internals.teacher(folders["llama"], device, dtype).sampler() as sampler:
        first, again = (dict(sampler.generate(requests(), drawn)) for _ in range(2))
        other = dict(sampler.generate([replace(request, seed=request.seed + 99) for request in requests()], drawn))
    assert first == again
    assert first != other


@pytest.mark.parametrize("dtype", ["float32", *HALVES])
def test_answers_are_kept_to_labels(folders: dict[str, Path], device: str, dtype: internals.Dtype) -> None:
    kept = Sampling(max_tokens=20, allowed=Allowed(labels=("one", "two", "three")))
    with internals.teacher(folders["qwen3"], device, dtype).sampler() as sampler:
        answers = dict(sampler.generate(requests(), kept))
    assert {answer.text for answer in answers.values()} <= {"one", "two", "three"}
    assert {answer.finish for answer in answers.values()} == {"stop"}
