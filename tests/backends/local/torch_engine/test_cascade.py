"""Rows after a prefix that is stored once get the tokens that transformers' generate gives each of them alone."""

import logging
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from pdistill.backends.local.torch_engine import cascade, decoder, kv_slots, step
from pdistill.backends.local.torch_engine.cascade import CascadeEngine
from pdistill.backends.local.torch_engine.decoder import Decoder
from pdistill.backends.local.torch_engine.padded_engine import PaddedEngine
from tests.backends.tiny_models import make

FITTING = ("llama", "qwen2", "qwen3", "mistral", "gemma3", "gpt2")
PREFIX = [3 + 7 * i % 90 for i in range(60)]
SHAPE = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}
Models: Any = AutoModelForCausalLM


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folders = {family: make(family, tmp_path_factory.mktemp(family), **SHAPE) for family in (*FITTING, "bloom")}
    return {family: Models.from_pretrained(folder).eval().requires_grad_(False) for family, folder in folders.items()}


def small(runner: Decoder, tokens: int, rows: int) -> Decoder:
    assert isinstance(runner.engine, CascadeEngine | PaddedEngine)
    runner.engine.limits = replace(runner.engine.limits, tokens=tokens, max_rows=rows)
    return runner


def rows_of(count: int) -> list[list[int]]:
    drawn = random.Random(count)
    return [[drawn.randrange(3, 100) for _ in range(drawn.choice([1, 2, 5, 17, 30]))] for _ in range(count)]


def run(runner: Decoder, prefix: list[int], rows: list[list[int]], most: Sequence[int]) -> list[list[int]]:
    """The greedy tokens of each row, as many as `most` says."""
    given: list[list[int]] = [[] for _ in rows]

    def choose(numbers: Sequence[int], logits: torch.Tensor) -> list[int | None]:
        for number, token in zip(numbers, logits.argmax(-1).tolist(), strict=True):
            given[number].append(token)
        return [given[number][-1] if len(given[number]) < most[number] else None for number in numbers]

    for _ in runner.engine.decode(rows, runner.prefix(prefix), max(most), choose):
        pass
    return given


def alone(model: Any, ids: list[int], most: int) -> list[int]:
    tensor = torch.tensor([ids])
    whole = model.generate(
        tensor,
        attention_mask=torch.ones_like(tensor),
        do_sample=False,
        max_new_tokens=most,
        eos_token_id=None,
        pad_token_id=0,
    )
    tokens: list[int] = whole[0, len(ids) :].tolist()
    return tokens


@pytest.mark.parametrize("family", FITTING)
@pytest.mark.parametrize("prefix", [PREFIX, []])
def test_the_tokens_of_generate(models: dict[str, Any], family: str, prefix: list[int]) -> None:
    runner = small(Decoder(models[family], family), tokens=40, rows=3)
    assert isinstance(runner.engine, CascadeEngine)
    rows, most = rows_of(7), [1, 9, 30, 2, 4, 1, 7]
    expected = [alone(models[family], [*prefix, *row], count) for row, count in zip(rows, most, strict=True)]
    assert run(runner, prefix, rows, most) == expected


def test_windows_narrower_than_prefix_row_and_answer_hide_what_they_should(models: dict[str, Any]) -> None:
    model = models["gemma3"]
    window = model.config.sliding_window
    row, most = [5 + i for i in range(window + 3)], window + 4
    assert len(PREFIX) > window
    assert run(Decoder(model, "gemma3"), PREFIX, [row, [9]], [most, most]) == [
        alone(model, [*PREFIX, *row], most),
        alone(model, [*PREFIX, 9], most),
    ]


def test_a_vocabulary_of_a_quarter_million_costs_logits_at_the_last_positions_alone(tmp_path: Path) -> None:
    model = Models.from_pretrained(make("gemma3", tmp_path, **SHAPE, vocab_size=262_144)).eval()
    runner, places = Decoder(model, "wide"), []
    assert isinstance(runner.engine, CascadeEngine)
    runner.prefix(PREFIX)
    runner.engine.model.lm_head.register_forward_hook(lambda _, inputs, __: places.append(inputs[0].shape[1]))
    rows = rows_of(4)
    expected = [alone(model, [*PREFIX, *row], 3) for row in rows]
    assert run(runner, PREFIX, rows, [3] * 4) == expected
    assert places == [4, 4, 4]


def test_gemma_3_as_it_is_sold(tmp_path: Path) -> None:
    changes = {"sliding_window": 512, "vocab_size": 262_144, "max_position_embeddings": 1024}
    model = Models.from_pretrained(make("gemma3", tmp_path, **SHAPE, **changes)).eval()
    runner, prompt, rows = (
        small(Decoder(model, "gemma3"), tokens=256, rows=3),
        [3 + 7 * i % 90 for i in range(700)],
        [*rows_of(3), [9]],
    )
    assert isinstance(runner.engine, CascadeEngine)
    assert [keys.shape[2] for keys, _ in runner.engine.prefix(prompt).layers] == [511, 700]
    assert run(runner, prompt, rows, [4] * 4) == [alone(model, [*prompt, *row], 4) for row in rows]


@pytest.mark.parametrize("family", FITTING)
def test_a_prefix_run_in_blocks_is_the_models_own(models: dict[str, Any], family: str) -> None:
    runner = small(Decoder(models[family], family), tokens=25, rows=1)
    for given, expected in zip(runner.engine.prefix(PREFIX).layers, runner.native.prefix(PREFIX).layers, strict=True):
        torch.testing.assert_close(given, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("prefix", [PREFIX, []])
def test_padding_of_a_step_changes_nothing(models: dict[str, Any], family: str, prefix: list[int]) -> None:
    rows = [[number] for number in range(5, 5 + 2 * step.BUCKETS_PER_DOUBLING + 1)]
    expected = [alone(models[family], [*prefix, *row], 2) for row in rows]
    assert run(Decoder(models[family], family), prefix, rows, [2] * len(rows)) == expected


def test_finished_rows_leave_their_slots_to_waiting_ones(
    models: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = small(Decoder(models["llama"], "llama"), tokens=1000, rows=2)
    begun: list[tuple[int, int]] = []
    runner.prefix(PREFIX)
    original = step.Step

    def watched(decode: Sequence[Any], prefill: Sequence[Any], *rest: Any) -> Any:
        begun.append((len(decode), len(prefill)))
        return original(decode, prefill, *rest)

    monkeypatch.setattr(cascade, "Step", watched)
    run(runner, PREFIX, [[4], [5], [6], [7]], [1, 3, 2, 2])
    assert begun == [(0, 2), (1, 1), (2, 0), (0, 1), (1, 0)]


def test_of_equal_rows_one_runs(models: dict[str, Any]) -> None:
    runner, widths = small(Decoder(models["qwen3"], "qwen3"), tokens=12, rows=5), []
    assert isinstance(runner.engine, CascadeEngine)
    runner.prefix(PREFIX)
    runner.engine.model.model.register_forward_hook(
        lambda _, __, given, output: widths.append(given["input_ids"].shape[1]), with_kwargs=True
    )
    rows, most = [[5, 6, 7, 8], [9, 4, 4, 4], [5, 6, 7, 8], [5, 6, 7, 8], [9, 4, 4, 4]], [4, 2, 1, 6, 5]
    expected = [alone(models["qwen3"], [*PREFIX, *row], count) for row, count in zip(rows, most, strict=True)]
    assert run(runner, PREFIX, rows, most) == expected
    assert widths == [8, 4, 3, 3, 2, 1]


def test_rows_longer_than_their_slots_move(models: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cascade, "RESERVED_TOKENS", 1)
    monkeypatch.setattr(kv_slots, "GROWTH_FACTOR", 1.0)
    rows, most = rows_of(5), [12, 3, 9, 5, 7]
    expected = [alone(models["qwen3"], [*PREFIX, *row], count) for row, count in zip(rows, most, strict=True)]
    assert run(Decoder(models["qwen3"], "qwen3"), PREFIX, rows, most) == expected


@pytest.mark.parametrize("family", ["llama", "gemma3", "bloom"])
def test_logits_at_the_given_positions(models: dict[str, Any], family: str) -> None:
    runner = small(Decoder(models[family], family), tokens=24, rows=9)
    rows, keep = [[4, 5, 6, 7], [8, 9], [3] * 20], [3, 1, 2]
    given = dict(runner.engine.logits(rows, runner.prefix(PREFIX), keep))
    for number, row in enumerate(rows):
        with torch.no_grad():
            expected = models[family](torch.tensor([[*PREFIX, *row]])).logits[0, -keep[number] :]
        torch.testing.assert_close(given[number], expected, atol=1e-3, rtol=1e-3)


def test_the_model_itself_stays_as_it_is(models: dict[str, Any]) -> None:
    model = models["llama"]
    before = model.config._attn_implementation
    runner = Decoder(model, "llama")
    assert isinstance(runner.engine, CascadeEngine)
    assert model.config._attn_implementation == before
    assert runner.engine.model.lm_head.weight is model.lm_head.weight


def test_a_family_that_does_not_fit_falls_back_and_says_so_once(
    models: dict[str, Any], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoder, "_warned", set())
    with caplog.at_level(logging.WARNING, logger="pdistill"):
        runners = [Decoder(models["bloom"], "tiny bloom") for _ in range(2)]
    assert all(isinstance(runner.engine, PaddedEngine) and runner.shares_prefix for runner in runners)
    assert ["tiny bloom" in record.getMessage() for record in caplog.records] == [True]
    rows, most = rows_of(7), [1, 9, 12, 2, 4, 1, 7]
    expected = [alone(models["bloom"], [*PREFIX, *row], count) for row, count in zip(rows, most, strict=True)]
    assert run(small(runners[0], tokens=60, rows=3), PREFIX, rows, most) == expected


def test_other_logits_are_noticed_before_the_first_answer(
    models: dict[str, Any], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pdistill.backends.local.torch_engine.step.merge", lambda one, other: other[0])
    with caplog.at_level(logging.WARNING, logger="pdistill"):
        runner = Decoder(models["llama"], "a llama that is read wrongly")
    assert isinstance(runner.engine, PaddedEngine)
    assert "its logits differ by a fraction of" in caplog.text
