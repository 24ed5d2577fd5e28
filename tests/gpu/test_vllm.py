"""vLLM on the device against the torch engine there: answers, scores, LoRA students, and its shutdown before training.

Both compute in 16 bits with different kernels, so log-probabilities may differ by TOLERANCE nats, and first tokens must be
the same where the second most likely one is further away than that.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pdistill.core.contract.interfaces import TokenScores, WeightsURI
from pdistill.core.contract.sampling import Key, Sampling
from tests.gpu import internals
from tests.gpu.device import ON_GPU, memory_in_use
from tests.gpu.internals import LocalStudent, LocalTeacher, VllmSampler
from tests.gpu.rows import LORA, batch, requests

pytestmark = pytest.mark.vllm

TOLERANCE = 0.5 if ON_GPU else 1e-3
ONE = Sampling(max_tokens=1)
TARGET = [7, 8, 9]
SLACK = 64 << 20
"""Bytes that may stay in use when vLLM is closed: workspaces of cuBLAS and attention, not weights, keys or values."""


@pytest.fixture(scope="module", autouse=True)
def close_vllm() -> Iterator[None]:
    yield
    internals.close_vllm()


@pytest.fixture(scope="module")
def teachers(folders: dict[str, Path], device: str) -> tuple[LocalTeacher, LocalTeacher]:
    """One model, run by torch and by vLLM."""
    return tuple(internals.teacher(folders["qwen3"], device, engine=engine) for engine in ("torch", "vllm"))  # type: ignore[return-value]


def scores(side: LocalTeacher | LocalStudent, weights: WeightsURI | None = None) -> dict[Key, TokenScores]:
    opened = side.sampler() if isinstance(side, LocalTeacher) else side.sampler(weights)
    with opened as sampler:
        return dict(sampler.score([(request, TARGET) for request in requests()], 2))


def assert_close(actual: dict[Key, TokenScores], expected: dict[Key, TokenScores]) -> None:
    assert actual.keys() == expected.keys()
    for key, score in expected.items():
        assert actual[key].logprobs == pytest.approx(score.logprobs, abs=TOLERANCE)


def largest_difference(one: dict[Key, TokenScores], other: dict[Key, TokenScores]) -> float:
    return max(abs(a - b) for key in one for a, b in zip(one[key].logprobs, other[key].logprobs, strict=True))


def test_scores_are_those_of_torch(teachers: tuple[LocalTeacher, LocalTeacher]) -> None:
    plain, fast = teachers
    with fast.sampler() as sampler:
        assert isinstance(sampler, VllmSampler)
    expected = scores(plain)
    assert_close(scores(fast), expected)
    assert_close(scores(fast), expected)  # the prompts are in vLLM's cache now, which holds no scores


def test_first_tokens_are_those_of_torch_but_for_near_ties(teachers: tuple[LocalTeacher, LocalTeacher]) -> None:
    plain, fast = teachers
    with plain.sampler() as sampler:
        expected = dict(sampler.generate(requests(), ONE))
    with fast.sampler() as sampler:
        actual = dict(sampler.generate(requests(), ONE))
    first = {key: score.top_logprobs[0] for key, score in scores(plain).items()}
    clear = [key for key, logprobs in first.items() if logprobs[0] - logprobs[1] > TOLERANCE]
    assert len(clear) > len(first) / 2
    assert {key: actual[key] for key in clear} == {key: expected[key] for key in clear}


def test_sampled_answers_depend_only_on_their_seeds(teachers: tuple[LocalTeacher, LocalTeacher]) -> None:
    sampling = Sampling(max_tokens=8, temperature=1.0)
    with teachers[1].sampler() as sampler:
        first = dict(sampler.generate(requests(), sampling))
        again = dict(sampler.generate(requests(), sampling))
    same = sum(first[key] == again[key] for key in first)
    assert same >= (0.75 * len(first) if ON_GPU else len(first))


def test_a_student_is_the_base_with_its_adapter(folders: dict[str, Path], device: str, tmp_path: Path) -> None:
    plain, fast = (internals.student(folders["qwen3"], tmp_path, device, engine=name) for name in ("torch", "vllm"))
    with plain.trainer(LORA, None) as worker:
        internals.fill_with_noise(worker.parameters, 0.15)
        (tmp_path / worker.save_weights("1").result()).rename(tmp_path / "adapter")
    trained = WeightsURI("adapter")
    expected = [scores(plain), scores(plain, trained)]
    actual = [scores(fast), scores(fast, trained)]
    for one, other in zip(actual, expected, strict=True):
        assert_close(one, other)
    assert largest_difference(*actual) > 4 * TOLERANCE


def test_it_is_closed_before_training_and_opened_again_afterwards(
    folders: dict[str, Path], device: str, tmp_path: Path
) -> None:
    internals.close_vllm()
    opened = internals.student(folders["qwen3"], tmp_path, device, engine="vllm")
    opened.opened.base()
    before = memory_in_use()
    first = scores(opened)
    assert internals.vllm_is_open()
    assert (
        not ON_GPU or memory_in_use() - before > SLACK
    )  # on a CPU vLLM hides its tensors from Python's garbage collector
    with opened.trainer(LORA, None) as worker:
        assert not internals.vllm_is_open()
        adapter = sum(parameter.numel() * parameter.element_size() for parameter in worker.parameters)
        assert memory_in_use() - before <= SLACK + 2 * adapter
        worker.step(batch(), 1e-3)
        (tmp_path / worker.save_weights("1").result()).rename(tmp_path / "adapter")
    assert_close(scores(opened), first)
    assert scores(opened, WeightsURI("adapter")).keys() == first.keys()
