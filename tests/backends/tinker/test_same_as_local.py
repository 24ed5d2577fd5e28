"""Training on the same examples on the service and on this machine starts at the same loss and takes nearly the same course."""

from pathlib import Path

import pytest

from pdistill.backends.local.backend import LocalBackend
from pdistill.backends.local.options import LocalOptions
from pdistill.backends.tinker import TinkerOptions, create
from pdistill.core.contract.batches import HardRow, hard_batch, hard_row
from pdistill.core.contract.interfaces import Lora, Student
from pdistill.testing.bench import EXAMPLES, bare_prompt
from tests.backends.tinker.server import BUILTIN, MODEL, Server

STEPS, RATE = 8, 1e-3


def rows(student: Student, repeat: int = 1) -> list[HardRow]:
    renderer = student.renderer()
    made: list[HardRow] = []
    for query, target in EXAMPLES * repeat:
        prompt = bare_prompt(renderer, query)
        made.append(
            hard_row(renderer.prompt_ids(prompt), renderer.target_ids(prompt, f"{target} " * len(made) + "end"))
        )
    return made


def losses(student: Student, seed: int) -> list[float]:
    batches = [hard_batch(rows(student)[:3]), hard_batch(rows(student))]
    with student.trainer(Lora(rank=8, seed=seed), None) as trainer:
        return [trainer.step(batches[step % 2], RATE).result().loss for step in range(STEPS)]


def test_losses_take_the_same_course_as_on_the_local_backend(service: Server, tmp_path: Path) -> None:
    local = LocalBackend(LocalOptions()).student("builtin", tmp_path)
    remote = create(TinkerOptions(tokenizer=str(BUILTIN))).student(MODEL, tmp_path)
    here = [losses(local, seed) for seed in range(4)]
    there = losses(remote, 0)
    assert there[0] == pytest.approx(here[0][0], abs=1e-4), "before the first update the loss is the model's own"
    assert there[-1] < there[1]
    for step in range(1, STEPS):
        spread = [run[step] for run in here]
        room = 2 * (max(spread) - min(spread)) + 0.01
        assert min(spread) - room <= there[step] <= max(spread) + room, f"step {step}: {there[step]} against {spread}"
