import contextlib
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from click.testing import Result

from pdistill.cli.commands.sample import BATCH, LONGEST, read_batches
from pdistill.core.contract.prompts import Text
from pdistill.core.contract.queries import Query
from pdistill.core.contract.sampling import Completion, Key, Request, Sampling
from pdistill.core.delivery.ask import OpenArm
from pdistill.core.errors import UsageError
from tests.cli.colours import build_colours

Call = Callable[..., Result]


def blocks(*given: bytes) -> Callable[[int], bytes]:
    rest = iter([*given, b""])
    return lambda size: next(rest)


def test_lines_come_out_as_soon_as_they_are_there() -> None:
    batches = read_batches(blocks(b"a\nb", b"c\r\n\n", b"\xff\xe4\xb8\xad", b"\n", b"last"))
    assert list(batches) == [["a"], ["bc", ""], ["\N{REPLACEMENT CHARACTER}中"], ["last"]]


def test_batches_are_small_and_memory_stays() -> None:
    def endless() -> Iterator[bytes]:
        while True:
            yield b"query\n" * 1000

    source = endless()
    batches = read_batches(lambda size: next(source))
    assert max(len(next(batches)) for _ in range(100)) == BATCH
    with pytest.raises(UsageError, match="longer than"):
        list(read_batches(lambda size: b"x" * (LONGEST // 4)))


def test_json_answers_every_line_in_order(call: Call, finished: Path) -> None:
    lines = ["sky 1", "", "  ", "leaf \x1b 2", *(f"moss {at}" for at in range(100))]
    result = call("sample", finished, "--json", input="\n".join(lines).encode() + b"\nbad \xff")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["query"] for row in rows] == [*lines, "bad \N{REPLACEMENT CHARACTER}"]
    assert {tuple(row) for row in rows} == {("query", "response", "finish")}
    assert {row["finish"] for row in rows} == {"stop"}
    assert rows[0]["response"] in ("red", "green", "blue")


@pytest.mark.parametrize("shown", [(), ("--json",)])
def test_a_pipe_has_an_answer_per_line_and_a_file_one_per_query(
    shown: tuple[str, ...], call: Call, finished: Path
) -> None:
    text = b"sky 1\n\n  \nleaf 2\n"
    first, *_, last = lines = call("sample", finished, *shown, input=text).stdout.splitlines()
    assert len(lines) == 4
    for content in (text, b"query,reference\nsky 1,red\nleaf 2,green\n"):
        read = call("sample", finished, *shown, "--queries", "-", input=content)
        assert read.stdout.splitlines() == [first, last]


def test_arguments_and_lines_are_answered_alike(call: Call, finished: Path) -> None:
    queries = ["sky 1", "leaf 2", "ruby 3"]
    by_line = call("sample", finished, input="\n".join(queries).encode()).stdout.splitlines()
    by_argument = call("sample", finished, *queries).stdout.splitlines()
    as_json = [
        json.loads(line)["response"] for line in call("sample", finished, "--json", *queries).stdout.splitlines()
    ]
    assert by_line == by_argument == as_json


def test_a_caller_that_waits_gets_its_answer(finished: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "pdistill", "sample", finished, "--json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    for query in ("sky 1", "", "leaf 2"):
        process.stdin.write(f"{query}\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["query"] == query
    process.stdin.close()
    assert process.wait(60) == 0
    process.stdout.close()


def test_a_query_that_does_not_fit_has_an_error_and_the_others_answers(call: Call, files: Path, tmp_path: Path) -> None:
    run = build_colours(tmp_path / "run", files, backend_options={"context": "100"}, max_tokens=8).path
    result = call("sample", run, "--json", input=b"sky 1\n" + b"long " * 200 + b"\nsky 1\n")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [row["finish"] for row in rows] == ["stop", "error", "stop"]
    assert rows[0] == rows[2]
    assert result.exit_code == 1
    first, last = result.stderr.splitlines()
    assert first.startswith("error: query '2' does not fit")
    assert last == "error: 1 of 3 queries have no answer"


@pytest.mark.parametrize("arm", ["teacher", "base", "base_prompted", "student", "student_prompted"])
def test_every_arm_answers_as_it_was_evaluated(call: Call, finished: Path, arm: str) -> None:
    there = [json.loads(line) for line in (finished / f"predictions-{arm}.jsonl").read_text().splitlines()]
    said = call("sample", finished, "--arm", arm, "--json", *(row["query"] for row in there)).stdout.splitlines()
    assert [json.loads(line)["response"] for line in said] == [row["response"] for row in there]


def test_a_file_is_asked_as_it_is_read_for_a_run(call: Call, finished: Path, files: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (files / "queries.jsonl").read_text().splitlines()]
    said = call("sample", finished, "--queries", files / "queries.jsonl", "--json").stdout.splitlines()
    assert [json.loads(line)["query"] for line in said] == [row["query"] for row in rows]
    by_argument = call("sample", finished, "--json", *(row["query"] for row in rows)).stdout.splitlines()
    assert said == by_argument
    result = call("sample", finished, "--queries", tmp_path / "gone.txt")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: can't read ")
    result = call("sample", finished, "--queries", files / "queries.jsonl", "sky")
    assert (result.exit_code, result.stderr.splitlines()[-1].endswith("QUERY arguments are mutually exclusive")) == (
        2,
        True,
    )


def test_answers_come_out_in_order_as_soon_as_they_are_there() -> None:
    class Slow:
        """Finishes the second of three first."""

        chunk: int | None = None
        given = 0

        def generate(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Key, Completion]]:
            keys = [request.key for request in requests]
            for at in (1, 0, 2):
                self.given += 1
                yield keys[at], Completion(str(at), "stop")

    slow = Slow()
    answers = OpenArm(lambda query: Text(query.text), slow, Sampling(), 0).answer(map(Query, "abc"))
    assert (next(answers).text, slow.given) == ("0", 2)
    assert [answer.text for answer in answers] == ["1", "2"]


def test_a_conversation_in_the_terminal(call: Call, finished: Path) -> None:
    one, other = call("sample", finished, "--arm", "teacher", "sky 1", "leaf 2").stdout.splitlines()
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "pdistill", "sample", finished, "--arm", "teacher"],
        stdin=follower,
        stdout=follower,
        stderr=subprocess.DEVNULL,
        close_fds=True,
    )
    os.close(follower)
    said = b""
    for line in (b"sky 1\n", b"\n", b"leaf 2\n", b"\x04"):
        while not said.endswith(b"> "):
            said += os.read(leader, 1024)
        os.write(leader, line)
        said += b"|"
    with contextlib.suppress(OSError):  # the terminal is gone when the process ends
        while read := os.read(leader, 1024):
            said += read
    assert process.wait(60) == 0
    os.close(leader)
    shown = re.sub(r"\x1b\[\?2004[hl]", "", said.decode()).replace("\r", "")
    assert f"> |sky 1\n{one}\n> |\n> |leaf 2\n{other}\n> |" in shown
