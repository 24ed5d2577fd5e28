"""Training: the loss token by token, batches however split, resumes to the byte, adapters that plain PEFT loads."""

import json
import math
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from pdistill.backends.local.backend import LocalBackend, LocalStudent
from pdistill.backends.local.model import adapter
from pdistill.backends.local.options import LocalOptions
from pdistill.backends.local.training import trainer
from pdistill.backends.local.training.trainer import LocalTrainer
from pdistill.core.contract.batches import Batch, HardRow, SoftRow, hard_batch, hard_row
from pdistill.core.contract.interfaces import Lora, StateURI
from pdistill.core.contract.prompts import Format, framed
from pdistill.core.contract.sampling import Key, Request, Sampling
from pdistill.core.errors import BackendError, RunError
from tests.backends.tiny_models import make

FAMILIES = ("llama", "qwen2", "gpt2")
PAIRS = (
    ("The river is wide", "en"),
    ("Der Fluss ist heute breit, und die", "de"),
    ("Hola", "say nothing"),
    ("12", "ot"),
)
LORA = Lora(rank=4, seed=3)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {family: make(family, tmp_path_factory.mktemp(family)) for family in FAMILIES}


@pytest.fixture
def student(folders: dict[str, Path], tmp_path: Path) -> LocalStudent:
    return LocalBackend(LocalOptions()).student(str(folders["llama"]), tmp_path)


def rows(student: LocalStudent, form: Format = "chat") -> list[HardRow]:
    renderer = student.renderer()
    prompts = [(framed("{query}", query, form), target) for query, target in PAIRS]
    return [hard_row(renderer.prompt_ids(prompt), renderer.target_ids(prompt, target)) for prompt, target in prompts]


def gradients(worker: LocalTrainer) -> list[torch.Tensor]:
    return [parameter.grad.clone() for parameter in worker.parameters if parameter.grad is not None]


def settled(worker: LocalTrainer, batch: Batch, steps: int = 3) -> None:
    """Some steps, after which both halves of the adapter have a gradient."""
    for _ in range(steps):
        worker.step(batch, 1e-2)


@pytest.mark.parametrize("family", FAMILIES)
def test_loss_is_computed_only_on_the_target_and_its_end(folders: dict[str, Path], family: str, tmp_path: Path) -> None:
    student = LocalBackend(LocalOptions()).student(str(folders[family]), tmp_path)
    given = rows(student, "text" if family == "gpt2" else "chat")
    base = student.opened.base()
    nats = []
    for row, (_, target) in zip(given, PAIRS, strict=True):
        with torch.no_grad():
            logprobs = torch.log_softmax(base(torch.tensor([list(row.ids)])).logits[0], -1)
        whole = [*row.ids, row.targets[-1]]
        places = [place for place, weight in enumerate(row.weights) if weight]
        trained = [whole[place + 1] for place in places]
        end = student.renderer().tokenizer.decode(trained[-1:])
        space = " " if family == "gpt2" else ""
        assert student.renderer().tokenizer.decode(trained) == space + target + end
        assert end == ("</s>" if family == "gpt2" else "<|im_end|>")
        nats += [-logprobs[place, whole[place + 1]].item() for place in places]
    with student.trainer(LORA, None) as worker:
        metrics = worker.step(hard_batch(given), 0.0).result()
    assert metrics.loss == pytest.approx(sum(nats) / len(nats), abs=1e-5)
    assert metrics.tokens == len(nats)


def test_other_tokens_do_not_matter_where_the_weight_is_0(student: LocalStudent) -> None:
    row = rows(student)[0]
    other = HardRow(
        row.ids,
        [5 if not weight else token for token, weight in zip(row.targets, row.weights, strict=True)],
        row.weights,
    )
    with student.trainer(LORA, None) as worker:
        assert worker.step(hard_batch([row]), 0.0).result() == worker.step(hard_batch([other]), 0.0).result()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_is_told_as_the_loss(
    value: float, student: LocalStudent, monkeypatch: pytest.MonkeyPatch
) -> None:
    with student.trainer(LORA, None) as worker:

        def backward(part: object) -> float:
            for parameter in worker.parameters:
                parameter.grad = torch.full_like(parameter, value)
            return 1.0

        monkeypatch.setattr(worker.runner, "backward", backward)
        assert math.isnan(worker.step(hard_batch(rows(student)), 1e-3).result().loss)


@pytest.mark.parametrize("tokens", [1, 60, 10_000])
def test_splitting_a_batch_changes_nothing(student: LocalStudent, tokens: int, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = hard_batch(rows(student) * 2)
    with student.trainer(LORA, None) as worker:
        settled(worker, batch)
        monkeypatch.setattr(trainer, "MAX_GRADIENT_NORM", 1e9)
        whole = worker.step(batch, 0.0).result()
        expected = gradients(worker)
        monkeypatch.setattr(trainer, "CPU_TOKENS_PER_PART", tokens)
        parts = len(worker._parts(batch.rows))  # type: ignore[arg-type]
        split = worker.step(batch, 0.0).result()
        assert parts == {1: 8, 10_000: 1}.get(tokens, parts)
        assert split.loss == pytest.approx(whole.loss, abs=1e-6)
        assert split.tokens == whole.tokens
        for ours, theirs in zip(gradients(worker), expected, strict=True):
            assert torch.allclose(ours, theirs, atol=1e-6)


def test_the_gradient_is_that_of_the_plain_loss(student: LocalStudent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer, "MAX_GRADIENT_NORM", 1e9)
    given = rows(student)
    with student.trainer(LORA, None) as worker:
        settled(worker, hard_batch(given))
        worker.step(hard_batch(given), 0.0)
        ours = gradients(worker)
        worker.optimizer.zero_grad()
        total = torch.tensor(0.0)
        for row in hard_batch(given).rows:
            assert isinstance(row, HardRow)
            logits = worker.student(torch.tensor([list(row.ids)])).logits[0]
            nats = torch.nn.functional.cross_entropy(logits, torch.tensor(list(row.targets)), reduction="none")
            total = total + (nats * torch.tensor(list(row.weights))).sum()
        torch.autograd.backward(total)
        for mine, theirs in zip(ours, gradients(worker), strict=True):
            assert torch.allclose(mine, theirs, atol=1e-5)


def test_a_resumed_training_ends_in_the_same_bytes(folders: dict[str, Path], tmp_path: Path) -> None:
    def weights(directory: Path, stops: tuple[int, ...]) -> bytes:
        resume: StateURI | None = None
        done = 0
        for stop in (*stops, 6):
            student = LocalBackend(LocalOptions()).student(str(folders["llama"]), directory)
            batch = hard_batch(rows(student))
            with student.trainer(LORA, resume) as worker:
                for step in range(done, stop):
                    worker.step(batch, 1e-2 * (6 - step) / 6)
                resume = worker.save_state(f"step-{stop}").result()
                saved = worker.save_weights("final").result()
            done = stop
        assert resume is not None
        assert not Path(resume).is_absolute()
        return (directory / saved / adapter.WEIGHTS_FILE).read_bytes()

    whole = weights(tmp_path / "whole", ())
    for stop in range(6):
        assert weights(tmp_path / f"at-{stop}", (stop,)) == whole
    assert weights(tmp_path / "thrice", (1, 2, 5)) == whole


def test_a_training_begins_with_the_adapter_of_another(student: LocalStudent, tmp_path: Path) -> None:
    batch = hard_batch(rows(student))
    with student.trainer(LORA, None) as worker:
        settled(worker, batch)
        weights = worker.save_weights("there").result()
        after = worker.step(batch, 1e-2).result().loss
    with student.trainer(Lora(rank=4, seed=5, start=tmp_path / weights), None) as worker:
        assert worker.step(batch, 1e-2).result().loss == pytest.approx(after, rel=1e-5)
    with (
        pytest.raises(BackendError, match="another model or has another rank"),
        student.trainer(Lora(rank=8, start=tmp_path / weights), None),
    ):
        pass


def test_seed_determines_the_adapter(student: LocalStudent) -> None:
    def start(seed: int) -> dict[str, torch.Tensor]:
        with student.trainer(Lora(rank=4, seed=seed), None) as worker:
            return adapter.adapter_tensors(worker.student)

    first, again, other = start(1), start(1), start(2)
    assert torch.equal(torch.get_rng_state(), torch.Generator().manual_seed(2).get_state())
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize("family", FAMILIES)
def test_plain_peft_loads_the_export_with_the_same_logits(
    folders: dict[str, Path], family: str, tmp_path: Path
) -> None:
    student = LocalBackend(LocalOptions()).student(str(folders[family]), tmp_path / "run")
    given = rows(student, "text" if family == "gpt2" else "chat")
    target = tmp_path / "adapter"
    target.mkdir()
    with student.trainer(LORA, None) as worker:
        settled(worker, hard_batch(given))
        uri = worker.save_weights("final").result()
        worker.export(uri, target)
        ids = torch.tensor([list(given[1].ids)])
        with torch.no_grad():
            ours = worker.student(ids).logits
    assert sorted(path.name for path in target.iterdir()) == [adapter.CONFIG_FILE, adapter.WEIGHTS_FILE]
    config = json.loads((target / adapter.CONFIG_FILE).read_text())
    assert config["target_modules"] == sorted(config["target_modules"])
    assert config["lora_alpha"] == 8
    base = AutoModelForCausalLM.from_pretrained(folders[family])
    untouched = base(ids).logits
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        loaded = PeftModel.from_pretrained(base, target).eval()
    with torch.no_grad():
        theirs = loaded(ids).logits
        merged = adapter.merge(student.opened.base(), tmp_path / "run" / uri)(ids).logits
        base_again = student.opened.base()(ids).logits
    assert torch.allclose(ours, theirs, atol=1e-4)
    assert torch.allclose(ours, merged, atol=1e-3)
    assert torch.equal(base_again, untouched)
    assert not torch.allclose(ours, base_again, atol=1e-2)


def test_two_trainings_export_the_same_bytes_without_a_path(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folders["llama"].parent)
    name = folders["llama"].name
    files = []
    for place in ("one", "two"):
        (tmp_path / place / "out").mkdir(parents=True)
        student = LocalBackend(LocalOptions()).student(name, tmp_path / place)
        with student.trainer(LORA, None) as worker:
            settled(worker, hard_batch(rows(student)))
            worker.export(worker.save_weights("final").result(), tmp_path / place / "out")
        files.append([path.read_bytes() for path in sorted((tmp_path / place / "out").iterdir())])
    assert files[0] == files[1]
    assert str(tmp_path).encode() not in files[0][0]
    assert json.loads(files[0][0])["base_model_name_or_path"] == name


def test_a_student_learns_and_its_sampler_answers_as_trained(student: LocalStudent) -> None:
    batch = hard_batch(rows(student))
    asked = [Request(Key(n), framed("{query}", query, "chat")) for n, (query, _) in enumerate(PAIRS)]

    def texts(weights: Any) -> list[str]:
        with student.sampler(weights) as sampler:
            given = dict(sampler.generate(asked, Sampling(max_tokens=8)))
        return [given[request.key].text for request in asked]

    before = texts(None)
    with student.trainer(LORA, None) as worker:
        settled(worker, batch, 40)
        weights = worker.save_weights("final").result()
        assert texts(weights) == [target for _, target in PAIRS]
        assert texts(None) == before


def test_alpha_and_targets_are_options(folders: dict[str, Path], tmp_path: Path) -> None:
    options = LocalOptions(alpha=5.0, targets=("q_proj", "v_proj"))
    student = LocalBackend(options).student(str(folders["llama"]), tmp_path)
    with student.trainer(LORA, None) as worker:
        config = worker.student.peft_config["default"]
        assert (config.lora_alpha, set(config.target_modules)) == (5.0, {"q_proj", "v_proj"})
    with student.trainer(Lora(rank=4, alpha=6.0), None) as worker:
        assert worker.student.peft_config["default"].lora_alpha == 6.0
    wrong = LocalBackend(LocalOptions(targets=("nope",))).student(str(folders["llama"]), tmp_path)
    with pytest.raises(BackendError, match="can't make a LoRA adapter: .*`r`"), student.trainer(Lora(rank=0), None):
        pass
    with (
        pytest.raises(BackendError, match="invalid value 'nope' for option targets .*choose from .*q_proj"),
        wrong.trainer(LORA, None),
    ):
        pass


def test_all_linear_layers_but_the_last_are_the_default(student: LocalStudent) -> None:
    with student.trainer(LORA, None) as worker:
        targets = set(worker.student.peft_config["default"].target_modules)
    assert targets == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def test_unsupported_loss_is_refused(student: LocalStudent) -> None:
    soft = Batch([SoftRow([1], [[2]], [[1.0]], [1.0])])
    with student.trainer(LORA, None) as worker, pytest.raises(BackendError, match="soft_cross_entropy"):
        worker.step(soft, 0.1)


def test_saved_states_are_complete_released_and_checked(student: LocalStudent, tmp_path: Path) -> None:
    with student.trainer(LORA, None) as worker:
        state = worker.save_state("step-1").result()
        assert worker.save_state("step-1").result() == state
        weights = worker.save_weights("step-1").result()
        with student.sampler(weights):
            pass
        with pytest.raises(BackendError, match="another rank"), student.trainer(Lora(rank=2), state):
            pass
        (tmp_path / state / "training.pt").write_bytes(b"")
        with pytest.raises(BackendError, match="can't read the saved state"), student.trainer(LORA, state):
            pass
    student.release(state)
    student.release(weights)
    student.release(state)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "adapter").mkdir()
    student.release(StateURI("adapter"))
    student.release(StateURI("checkpoints/../adapter"))
    assert (tmp_path / "adapter").is_dir()
    with pytest.raises(BackendError, match="can't read the adapter"), student.trainer(LORA, state):
        pass


def test_failed_write_of_a_state_leaves_nothing(
    student: LocalStudent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with student.trainer(LORA, None) as worker:
        monkeypatch.setattr("torch.save", full)
        with pytest.raises(RunError, match="can't use .*step-1.*no space left on device"):
            worker.save_state("step-1")
    assert list((tmp_path / "checkpoints").iterdir()) == []
