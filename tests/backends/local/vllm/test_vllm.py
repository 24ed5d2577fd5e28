"""The vLLM engine gives the answers of the torch engine; if it is broken or missing, torch takes over or there is an error."""

import logging
import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest
from peft import LoraConfig

from pdistill.backends.local.backend import LocalBackend, LocalTeacher
from pdistill.backends.local.model.machine import probe
from pdistill.backends.local.options import LocalOptions
from pdistill.backends.local.sampling.sampler import LocalSampler
from pdistill.backends.local.vllm.engine import llm_arguments
from pdistill.backends.local.vllm.sampler import VllmSampler
from pdistill.core.contract.interfaces import Lora
from pdistill.core.contract.prompts import teacher_prompt
from pdistill.core.contract.sampling import Allowed, Completion, Key, Request, Sampling
from pdistill.core.errors import BackendError, ContextError
from tests.backends.tiny_models import make

PROMPT = "You are a careful clerk. Name the language of the text and say nothing else."
QUERIES = ("The river is wide today", "Hola", "Der Fluss ist heute breit, und", "12", "all green, x", "é?") * 2
GREEDY = Sampling(max_tokens=8)
with_vllm = pytest.mark.skipif(find_spec("vllm") is None, reason="vllm is not installed")
without_vllm = pytest.mark.skipif(find_spec("vllm") is not None, reason="vllm is installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make("qwen3", tmp_path_factory.mktemp("qwen3"))


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation of vllm that can't be imported."""
    (tmp_path / "vllm").mkdir()
    (tmp_path / "vllm" / "__init__.py").write_text('raise ImportError("no instructions for this processor")\n')
    monkeypatch.syspath_prepend(tmp_path)


def teacher(folder: Path, engine: str, chunk: int = 512) -> LocalTeacher:
    assert engine in ("auto", "torch", "vllm")
    options = LocalOptions(engine=engine, chunk=chunk)  # type: ignore[arg-type]
    return LocalBackend(options).teacher(str(folder))


def requests(queries: Sequence[str] = QUERIES) -> list[Request]:
    return [Request(Key(number), teacher_prompt(PROMPT, q, "chat"), number) for number, q in enumerate(queries)]


def answers(given: LocalTeacher, sampling: Sampling) -> dict[Key, Completion]:
    with given.sampler() as sampler:
        return dict(sampler.generate(requests(), sampling))


@without_vllm
def test_what_is_missing_is_torch_or_an_error() -> None:
    resolved = LocalBackend(LocalOptions()).resolve(None)
    assert resolved["engine"] == "torch"
    with pytest.raises(BackendError, match=r"needs the package 'vllm'.*pip install 'pdistill\[vllm\]'.*engine=torch"):
        LocalBackend(LocalOptions(engine="vllm")).resolve(None)
    with pytest.raises(BackendError, match="needs the package 'vllm'"):
        LocalBackend(LocalOptions()).resolve({**resolved, "engine": "vllm"})


def test_run_without_an_engine_option_resumes_with_torch() -> None:
    row = dict(LocalBackend(LocalOptions(engine="torch")).resolve(None))
    older = {key: value for key, value in row.items() if key not in ("engine", "vllm")}
    assert LocalBackend(LocalOptions(engine="torch")).resolve(older) == row


@without_vllm
@pytest.mark.usefixtures("broken")
def test_torch_takes_over_from_a_broken_one_and_says_so_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    given = teacher(folder, "auto", chunk=5)
    assert given.opened.backend.resolved.engine == "vllm"
    with caplog.at_level(logging.WARNING, logger="pdistill"):
        assert answers(given, GREEDY) == answers(given, GREEDY) == answers(teacher(folder, "torch"), GREEDY)
    assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == [
        "no instructions for this processor"
    ]
    with given.sampler() as sampler:
        assert isinstance(sampler, LocalSampler)
        assert sampler.chunk is None


@without_vllm
@pytest.mark.usefixtures("broken")
def test_engine_chosen_by_name_must_work(folder: Path) -> None:
    with pytest.raises(BackendError, match=r"can't run model .*no instructions.*-B engine=torch"):
        answers(teacher(folder, "vllm"), GREEDY)


def test_options_reach_vllm() -> None:
    options = LocalOptions(engine="torch", tensor_parallel=2, pipeline_parallel=3, quantization="fp8")
    settings = llm_arguments(probe(options), options, LoraConfig(r=20, target_modules=["v_proj", "q_proj"]))
    assert (settings["tensor_parallel_size"], settings["pipeline_parallel_size"]) == (2, 3)
    assert (settings["quantization"], settings["max_lora_rank"]) == ("fp8", 32)
    assert settings["lora_target_modules"] == ["q_proj", "v_proj"]
    assert "enable_lora" not in llm_arguments(probe(options), options, None)


@with_vllm
@pytest.mark.vllm
@pytest.mark.slow
def test_vllm_gives_the_answers_and_scores_of_torch(folder: Path) -> None:
    torch_side, vllm_side = teacher(folder, "torch"), teacher(folder, "vllm")
    for sampling in (GREEDY, Sampling(max_tokens=8, stop_at_newline=True, stop=("e",))):
        assert answers(vllm_side, sampling) == answers(torch_side, sampling)
    with vllm_side.sampler() as fast, torch_side.sampler() as plain:
        assert isinstance(fast, VllmSampler)
        with pytest.raises(ContextError):
            list(fast.generate(requests(["x " * 400]), GREEDY))
        items = [(request, [7, 8, 9]) for request in requests()]
        for _ in range(2):
            given, expected = dict(fast.score(items, 3)), dict(plain.score(items, 3))
            for key, scores in expected.items():
                assert given[key].logprobs == pytest.approx(scores.logprobs, abs=1e-4)
                assert given[key].top_ids == scores.top_ids
        drawn = Sampling(max_tokens=8, temperature=1.0)
        assert dict(fast.generate(requests(), drawn)) == dict(fast.generate(requests()[::-1], drawn))


@with_vllm
@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:max_rollback_tokens is deprecated:DeprecationWarning")
def test_vllm_keeps_answers_to_what_is_allowed(folder: Path) -> None:
    given = teacher(folder, "vllm")
    assert given.capabilities > {"constrain-labels", "constrain-pattern", "constrain-json"}
    schema = (
        '{"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"], "additionalProperties": false}'
    )
    kept = {
        r"(one|two|three)": Allowed(labels=("one", "two", "three")),
        r"[ab]{3}\d": Allowed(pattern=r"[ab]{3}\d"),
        r"\{\s*\"n\"\s*:\s*[12]\s*\}": Allowed(json_schema=schema),
    }
    for pattern, allowed in kept.items():
        for answer in answers(given, Sampling(max_tokens=60, allowed=allowed)).values():
            assert re.fullmatch(pattern, answer.text) or answer.finish == "length", answer
    labels = answers(given, Sampling(max_tokens=60, allowed=Allowed(labels=("one", "two", "three"))))
    assert {answer.finish for answer in labels.values()} == {"stop"}
    with pytest.raises(BackendError, match="vLLM can't constrain its decoding to this .*; leave out --constrain"):
        answers(given, Sampling(max_tokens=60, allowed=Allowed(pattern=r"(?<!a)b")))
    assert len(answers(given, GREEDY)) == len(QUERIES)


@with_vllm
@pytest.mark.vllm
@pytest.mark.slow
def test_a_student_is_the_base_with_its_adapter(folder: Path, tmp_path: Path) -> None:
    students = [
        LocalBackend(LocalOptions(engine=engine)).student(str(folder), tmp_path) for engine in ("torch", "vllm")
    ]
    with students[0].trainer(Lora(rank=6), None) as trainer:
        for parameter in trainer.parameters:
            parameter.data.normal_(0, 0.3)
        (tmp_path / trainer.save_weights("1").result()).rename(tmp_path / "adapter")
    given, scores = [], []
    for student in students:
        for weights in (None, "adapter"):
            with student.sampler(weights) as sampler:  # type: ignore[arg-type]
                given.append(dict(sampler.generate(requests(), GREEDY)))
                scored = dict(sampler.score([(request, [7, 8, 9]) for request in requests()], 1))
                scores.append([score for key in sorted(scored) for score in scored[key].logprobs])
    assert given[:2] == given[2:]
    assert given[0] != given[1]
    for one, other in zip(scores[:2], scores[2:], strict=True):
        assert one == pytest.approx(other, abs=1e-3)
