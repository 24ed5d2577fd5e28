import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from pdistill.backends.fake import FakeBackend
from tests.writers import PROMPT, writer

Call = Callable[..., Result]
Make = Callable[..., FakeBackend]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fake_backend: Make) -> Path:
    """Return an empty working folder with a prompt; the backend `writer` is there."""
    monkeypatch.chdir(tmp_path)
    fake_backend(teacher=writer, name="writer")
    (tmp_path / "prompt.txt").write_text(PROMPT)
    (tmp_path / "mine.txt").write_text("my rear brake squeaks when it rains\n" + "what is a new chain for a tandem\n")
    return tmp_path


def arguments(*more: object) -> list[object]:
    return [
        *("queries", "--prompt", "prompt.txt", "--labels", "repair,price", "--backend", "writer", "--limit", 30),
        *("--queries", "mine.txt", *more),
    ]


def test_what_is_written_is_shown_and_can_be_run(call: Call, place: Path) -> None:
    done = call(*arguments())
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("30 queries saved in queries.jsonl\nfrom ")
    assert re.search(r"asked for repair +10\n", done.stdout)
    assert "skipped lines:" in done.stdout
    assert "30 of 30 queries so far, in queries.jsonl.part" in done.stderr
    following = "next: pdistill run --prompt prompt.txt --queries queries.jsonl --labels repair,price"
    assert done.stdout.endswith(f"{following} --teacher writer:scripted\n")
    run = ["generate", *following.split()[3:], "--teacher", "fake:rule"]
    assert call(*run).exit_code == 0


def test_json_has_every_count(call: Call, place: Path) -> None:
    row = json.loads(call(*arguments("--json")).stdout)
    assert (row["file"], row["queries"], row["wanted"], row["usd"]) == ("queries.jsonl", 30, 30, 0)
    assert sum(row["slices"].values()) == 30
    assert row["left_out"]["introduces the others"] > 0
    assert json.loads(call(*arguments("--json")).stdout) == row


def test_a_dry_run_shows_the_first_request(call: Call, place: Path) -> None:
    before = {path.name for path in place.iterdir()}
    shown = call(*arguments("--dry-run")).stdout
    assert "Write 10 messages to which the assistant's right answer is: repair" in shown
    assert "with 2 example queries" in shown
    row = json.loads(call(*arguments("--dry-run", "--json")).stdout)
    assert (row["requests"], row["sampled_tokens"], row["seeds"]) == (3, 3 * 1024, 2)
    assert {path.name for path in place.iterdir()} == before


def test_hostile_answers_do_no_harm_to_the_terminal(call: Call, place: Path, fake_backend: Make) -> None:
    fake_backend(teacher=lambda system, asked: "\x1b[2Jfoo\nbar \u202e baz\nfine", name="evil")
    done = call("queries", "--prompt", "prompt.txt", "--backend", "evil", "--limit", 5)
    assert done.exit_code == 0
    assert "\x1b" not in done.output
    assert "control or damaged characters" in done.stdout
    assert (
        place / "queries.jsonl"
    ).read_text() == '{"query":"fine","slices":["rule 1: Something is broken: repair"]}\n'


def test_logs_are_taken_and_masked(call: Call, place: Path) -> None:
    turns = [{"role": "system", "content": "You sort."}, {"role": "user", "content": "ring +49 30 901820"}]
    log = f"{json.dumps({'messages': turns})}\nno json\n"
    Path("a.jsonl").write_text(log)
    done = call("queries", "--from-logs", "a.jsonl", "-", "--mask", input=log.encode())
    assert done.stdout.startswith(
        "1 query from 4 requests saved in queries.jsonl\nskipped:\n  2  not a JSON object\n  1  asked before\nmasked:\n  1  phone\n"
    )
    assert Path("queries.jsonl").read_text() == '{"query":"ring [phone]"}\n'
    row = json.loads(call("queries", "--from-logs", "a.jsonl", "--dry-run", "--json").stdout)
    assert (row["file"], row["queries"], row["masked"], row["prompts"]) == (None, 1, None, 1)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (["queries"], "--prompt is missing; give --prompt FILE, or --from-logs and LOG files"),
        (["queries", "a.jsonl"], "LOG 'a.jsonl' needs --from-logs, which extracts queries from logs"),
        (arguments("--mask"), "--mask needs --from-logs, which extracts queries from logs"),
        (
            ["queries", "--from-logs"],
            "--from-logs needs files: pdistill queries --from-logs LOG...; - is standard input",
        ),
        (["queries", "--from-logs", "no.jsonl"], "can't read 'no.jsonl': no such file or directory"),
        (
            ["queries", "--from-logs", "a.jsonl", "-B", "x=1"],
            "-B can't be used with --from-logs, which uses no model",
        ),
        (arguments("--output", "a.csv"), "can't write queries to 'a.csv': its name must end in .jsonl"),
        (arguments("--output", "b/a.jsonl"), "can't write queries to 'b/a.jsonl': there is no directory 'b'"),
        (arguments("--output", "there.jsonl"), "'there.jsonl' exists already; use another --output"),
        (arguments("--backend", "wrtier"), "unknown backend 'wrtier', did you mean 'writer'?"),
        (
            arguments("--prompt", "empty.txt"),
            "the prompt in 'empty.txt' is empty; write the teacher's instructions into it",
        ),
        (["queries", "--prompt", "prompt.txt"], "there is no model; give --teacher MODEL"),
        (
            ["queries", "--prompt", "prompt.txt", "--backend", "writer", "--format", "text"],
            "--format text needs some queries for the model to continue",
        ),
    ],
)
def test_mistake_is_one_line_and_writes_nothing(call: Call, place: Path, given: list[object], error: str) -> None:
    (place / "there.jsonl").write_text("")
    (place / "empty.txt").write_text(" \n")
    before = {path.name for path in place.iterdir()}
    done = call(*given)
    assert (done.exit_code, done.stdout) == (2, "")
    said = [line for line in done.stderr.splitlines() if not line.startswith("working: ")]
    assert len(said) == 1
    assert said[0].startswith(f"error: {error}")
    assert {path.name for path in place.iterdir()} == before
