"""A run that is killed at any moment can be resumed: paid answers are kept, and at most one window is paid for twice."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from pdistill.backends.tinker import TinkerOptions, create
from pdistill.core import pipeline
from pdistill.core.contract.prompts import teacher_prompt
from pdistill.core.stages.preflight import LEAST_SAMPLE
from pdistill.core.store.rows import read_log
from pdistill.core.store.rundir import ARMS, find_run
from tests.backends.faults import CUT, Call, Fault, Plan
from tests.backends.proxy import Proxy
from tests.backends.tinker.runs import (
    QUERIES,
    WINDOW,
    Opened,
    copy_of,
    flags,
    losses,
    prompts,
    small_config,
    start_like,
    taken,
)
from tests.backends.tinker.server import BUILTIN, KEY, MODEL
from tests.runs import INJECTIONS

ANSWERED = "responses.jsonl.part"
ANSWERS, STEPS = (4, 10, 16), (2, 6)
"""Rows that are on disk when a run is killed: of 24 answers, and of 9 steps with a checkpoint after the fifth."""
COMMAND = """
from pdistill.cli.main import main
from pdistill.core.probes import proportion
proportion.MOST_OF_THE_PASS = 1e9
main()
"""
"""The command, with all questions of the probes, as the tests ask them in their own process."""
KILLED = (("student", 1), ("student", 2), ("student_prompted", 2))
"""The arms, and how many of their answers are on disk at the kill; one request is in flight."""


class Killed:
    """A run of the command that is killed at the first request after `count` rows are on disk.

    Args:
        arguments: pdistill's.
        rows: the file that rows are appended to.
        count: whole lines in it.
    """

    def __init__(self, arguments: list[str], rows: Path, count: int) -> None:
        self._rows, self._count, self._dead = rows, count, False
        self._process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def plan(self, call: Call) -> Fault | None:
        if not self._dead and lines(self._rows) >= self._count:
            self._dead = True
            self._process.kill()
        return CUT if self._dead else None

    def output(self) -> str:
        return self._process.communicate()[0].decode()

    @property
    def status(self) -> int:
        return self._process.wait()


def lines(path: Path) -> int:
    """Return the number of whole lines in a file, 0 if it does not exist."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


def kill_at(proxy: Proxy, rows: Path, count: int, *arguments: str) -> str:
    """Return the output of a run of the command until it is killed."""
    before: Plan = proxy.plan
    run = Killed(list(arguments), rows, count)
    proxy.plan = run.plan
    output = run.output()
    proxy.plan = before
    assert run.status == -9, f"it finished before {rows.name} had {count} rows:\n{output}"
    return output


def stored(run: Path) -> set[tuple[int, ...]]:
    """Return the prompts, as token ids, of the queries whose answers are on disk in whole lines."""
    rows = (run / ANSWERED).read_bytes().split(b"\n")[:-1]
    renderer = create(TinkerOptions(tokenizer=str(BUILTIN))).teacher(MODEL).renderer()
    assert renderer is not None
    prompt = (run / "prompt.txt").read_text()
    return {tuple(renderer.prompt_ids(teacher_prompt(prompt, json.loads(line)["query"], "chat"))) for line in rows}


def test_no_stored_answer_is_requested_again(answered: Path, proxy: Callable[..., Proxy], tmp_path: Path) -> None:
    config, watched = small_config(tmp_path / "run"), proxy()
    said, kept = "", []
    for count in ANSWERS:
        said += kill_at(watched, tmp_path / "run" / ANSWERED, count, "generate", *flags(config))
        kept.append((len(watched.calls), stored(tmp_path / "run")))
    pipeline.generate(config)
    for name in ("responses.jsonl", "examples.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() == (answered / name).read_bytes()
    asked = prompts(watched.of_kind("sampling"))
    assert len(asked) == QUERIES + INJECTIONS + LEAST_SAMPLE
    assert sum(asked.values()) - len(asked) <= WINDOW * len(kept)
    assert kept[0][1] < kept[-1][1] < set(asked)
    for calls, there in kept:
        later = prompts(seen for seen in watched.calls[calls:] if seen.call.kind == "sampling")
        assert not there & set(later), "a query whose answer was on disk was sent again"
    assert KEY not in said


def test_training_resumes_from_its_last_checkpoint(
    answered: Path, trained: Path, proxy: Callable[..., Proxy], tmp_path: Path
) -> None:
    run, watched = copy_of(answered, tmp_path / "run"), proxy()
    start_like(trained, run)
    steps = len(losses(trained))
    done = [0]
    for count in STEPS:
        kill_at(watched, run / "metrics.jsonl.part", count, "train", str(run))
        done.append(read_log(run / "checkpoints.jsonl")[-1]["step"])
    pipeline.train(find_run(str(run)), {})
    assert done == sorted(done)
    assert done[-1] > 0, "no kill came after a checkpoint"
    assert losses(run) == pytest.approx(losses(trained), abs=1e-4)
    last_start = sum(seen.call.path.endswith("/forward_backward") for seen in watched.calls)
    assert last_start <= 3 * steps - sum(done)


def test_an_evaluation_requests_no_stored_answer_again(
    trained: Path, evaluated: Path, proxy: Callable[..., Proxy], tmp_path: Path
) -> None:
    run, opened = copy_of(trained, tmp_path / "run"), Opened()
    watched = proxy(record=opened)
    for arm, count in KILLED:
        kill_at(watched, run / f"predictions-{arm}.jsonl.part", count, "evaluate", str(run), "-Bwindow=1")
    pipeline.evaluate(find_run(str(run)))
    for arm in ARMS:
        name = f"predictions-{arm}.jsonl"
        assert (run / name).read_bytes() == (evaluated / name).read_bytes()
    students = Counter(
        tuple(asked["prompt"]["chunks"][0]["tokens"])
        for asked in taken(watched.calls)
        if opened.weights[asked["sampling_session_id"]]
    )
    probed = sum(map(lines, run.glob("probes-*-student.jsonl")))
    assert len(students) == 2 * lines(run / "predictions-student.jsonl") + probed
    assert sum(students.values()) - len(students) <= len(KILLED), "more than the requests in flight was sent again"
