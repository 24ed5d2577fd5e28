"""A run is killed at any moment and goes on: what was paid for is kept, and at most a window is paid for twice."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pdistill.backends.tinker import TinkerOptions, create
from pdistill.core import pipeline
from pdistill.core.prompts import teacher_prompt
from pdistill.core.rows import read_log
from pdistill.core.rundir import find_run
from tests.backends.faults import CUT, Call, Fault, Plan
from tests.backends.proxy import Proxy
from tests.backends.tinker.runs import QUERIES, WINDOW, copy_of, flags, losses, prompts, small_config, start_like
from tests.backends.tinker.server import BUILTIN, KEY, MODEL

ANSWERS = (6, 8, 4)
"""Answers that are asked after, of the 24 of a run, when it is killed for the first, second and third time."""


class Killed:
    """One run of the command that is killed when a request comes in.

    Args:
        arguments: of pdistill.
        moment: the request, counted from 1.
        kind: the kind of requests that are counted; empty: all.
    """

    def __init__(self, arguments: list[str], moment: int, kind: str = "") -> None:
        self._kind = kind
        self._left = moment
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pdistill", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def plan(self, call: Call) -> Fault | None:
        counted = self._left > 0 and self._kind in ("", call.kind)
        self._left -= counted
        if counted and self._left == 0:
            self._process.kill()
        return CUT if self._left == 0 else None

    def output(self) -> str:
        return self._process.communicate()[0].decode()

    @property
    def status(self) -> int:
        return self._process.wait()


def kill_at(proxy: Proxy, moment: int, kind: str, *arguments: str) -> str:
    """Return what a run of the command says until it is killed at a request of a kind."""
    before: Plan = proxy.plan
    run = Killed(list(arguments), moment, kind)
    proxy.plan = run.plan
    output = run.output()
    proxy.plan = before
    assert run.status == -9, f"it was done before the {kind} request {moment}:\n{output}"
    return output


def stored(run: Path) -> set[tuple[int, ...]]:
    """Return the prompts, as ids, of the queries whose answers are on disk in whole lines."""
    part = run / "responses.jsonl.part"
    if not part.exists():
        return set()
    lines = part.read_bytes().split(b"\n")[:-1]
    renderer = create(TinkerOptions(tokenizer=str(BUILTIN))).teacher(MODEL).renderer()
    assert renderer is not None
    prompt = (run / "prompt.txt").read_text()
    return {tuple(renderer.prompt_ids(teacher_prompt(prompt, json.loads(line)["query"], "chat"))) for line in lines}


def test_no_answer_that_was_stored_is_asked_for_again(
    answered: Path, proxy: Callable[..., Proxy], tmp_path: Path
) -> None:
    config, watched = small_config(tmp_path / "run"), proxy()
    said, kept = "", []
    for moment in ANSWERS:
        said += kill_at(watched, moment, "retrieval", "generate", *flags(config))
        kept.append((len(watched.calls), stored(tmp_path / "run")))
    pipeline.generate(config)
    for name in ("responses.jsonl", "examples.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() == (answered / name).read_bytes()
    asked = prompts(watched.of_kind("sampling"))
    assert len(asked) == QUERIES
    assert sum(asked.values()) - len(asked) <= WINDOW * len(kept)
    assert kept[0][1] < kept[-1][1] < set(asked)
    for calls, there in kept:
        later = prompts(seen for seen in watched.calls[calls:] if seen.call.kind == "sampling")
        assert not there & set(later), "a query whose answer was on disk was asked again"
    assert KEY not in said


def test_a_training_goes_on_from_its_last_checkpoint(
    answered: Path, trained: Path, proxy: Callable[..., Proxy], tmp_path: Path
) -> None:
    run, watched = copy_of(answered, tmp_path / "run"), proxy()
    start_like(trained, run)
    steps = len(losses(trained))
    done = [0]
    for moment in (5, 14):  # in the third step, and in the seventh: a checkpoint is saved after the fifth
        kill_at(watched, moment, "training", "train", str(run))
        done.append(read_log(run / "checkpoints.jsonl")[-1]["step"])
    pipeline.train(find_run(str(run)), {})
    assert done == sorted(done)
    assert done[-1] > 0, "no kill came after a checkpoint"
    assert losses(run) == pytest.approx(losses(trained), abs=1e-4)
    last_start = sum(seen.call.path.endswith("/forward_backward") for seen in watched.calls)
    assert last_start <= 3 * steps - sum(done)
