"""The commands of a job, of which some run it as a whole; see tests/cli/colours.py for those that need a finished run."""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import Result

from pdistill.core.contract.plugins import Plugin, Plugins

Call = Callable[..., Result]
Job = Callable[[Path], list[object]]

PRICED = ("-B", "price_prompt=3", "-B", "price_sampled=15", "-B", "price_trained=6", "--max-tokens", 4)


def test_run_with_json_prints_the_report_and_nothing_else(call: Call, job: Job, finished: Path) -> None:
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    result = call("run", *job(finished), "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == json.loads((finished / "report.json").read_text())
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before


def test_the_stages_one_by_one_print_their_counts(call: Call, job: Job, tmp_path: Path) -> None:
    run = tmp_path / "steps"
    made = json.loads(call("generate", *job(run), "--json").stdout)
    assert made == {"directory": str(run), "queries": 60, "train": made["train"], "eval": 60 - made["train"]} | {
        "rejected": 0,
        "rejections": {},
    }
    trained = json.loads(call("train", run, "--json").stdout)
    assert (trained["rows"], trained["student"]) == (made["train"], "fake:rule")
    assert 0 < trained["steps"] == len((run / "metrics.jsonl").read_text().splitlines())
    assert Path(trained["adapter"]).is_dir()
    evaluated = json.loads(call("evaluate", run, "--json").stdout)
    assert (evaluated["queries"], len(evaluated["arms"])) == (made["eval"], 5)
    report = json.loads(call("report", run, "--json").stdout)
    whole = json.loads(call("run", *job(tmp_path / "whole"), "--json").stdout)
    assert {**report, "seconds": None} == {**whole, "seconds": None}


def test_a_stage_names_the_next_command(call: Call, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where no other run is: one would be suggested
    run = tmp_path / "a run"
    early = call("train", run)
    assert (early.exit_code, early.stdout) == (1, "")
    assert call("generate", *job(run)).stdout.endswith(f"next: pdistill train '{run}'\n")
    assert call("report", run).exit_code == call("evaluate", run).exit_code == call("sample", run, "x").exit_code == 1
    assert call("train", run, "--epochs", 2).stdout.endswith(f"next: pdistill evaluate '{run}'\n")
    other = call("train", run, "--epochs", 3)
    assert other.exit_code == 1
    assert "epochs 2 (now 3)" in other.stderr
    assert call("train", run, "--epochs", 0).exit_code == 2
    assert call("evaluate", run).stdout.endswith(f"next: pdistill report '{run}'\n")


def test_a_dry_run_writes_nothing_and_marks_what_is_trained(call: Call, job: Job, tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = call("run", *job(run), "--dry-run")
    assert result.exit_code == 0, result.stderr
    assert not run.exists()
    assert "with the loss on the 2 in [brackets]" in result.stdout
    assert "[red]·[<|end|>]" in result.stdout
    assert "The student's input does not contain the prompt" in result.stdout


def test_a_dry_run_as_json_shows_text_and_mask_of_every_token(call: Call, job: Job, tmp_path: Path) -> None:
    row = json.loads(call("generate", *job(tmp_path / "run"), "--dry-run", "--json").stdout)
    assert row["prompt_in_student"] == {"queries": 60, "found": 0}
    assert row["queries"] == 60
    assert row["tokens"]["saved_per_call"] == row["tokens"]["prompt_teacher"] - row["tokens"]["prompt_student"] > 0
    first = row["examples"][0]
    assert [token["text"] for token in first["tokens"] if token["trained"]] == ["red", "<|end|>"]
    assert (row["options"]["teacher"], row["options"]["labels"]) == ("fake:rule", ["red", "green", "blue"])


def test_queries_come_through_a_pipe_and_only_the_first_time(call: Call, files: Path, tmp_path: Path) -> None:
    args = ["generate", "--prompt", files / "prompt.txt", "--queries", "-", "--backend", "fake", "--run-dir", tmp_path]
    rows = (files / "queries.jsonl").read_bytes()
    assert json.loads(call(*args, "--dry-run", "--json", input=rows).stdout)["queries"] == 60
    assert call(*args, input=rows).exit_code == 0
    stored = [json.loads(line) for line in (tmp_path / "queries.jsonl").read_text().splitlines()]
    assert [row["query"] for row in stored] == [json.loads(line)["query"] for line in rows.splitlines()]
    assert call("train", tmp_path).exit_code == 0
    lines = call(*args, "--dry-run", "--json", input=b"\xef\xbb\xbffirst\nsecond\n")
    assert lines.exit_code == 1
    assert "other queries" in lines.stderr
    assert call(*args, input=b"").stderr == "error: there are no queries; the file or the task contains none\n"


@pytest.mark.parametrize(
    ("content", "more"),
    [
        (b'{"query": "a cherry, red"}\n{"query": "a leaf"}\n', ()),
        (b'\xef\xbb\xbfid,query\n1,"a cherry, red"\n2,a leaf\n', ()),
        (b'text,right\n"a cherry, red",red\na leaf,green\n', ("--column", "query=text")),
        (b"a cherry, red\n\na leaf\n", ()),
        (b"[urgent] a cherry\na query, a leaf\n", ()),
    ],
)
def test_the_format_of_standard_input_is_seen(
    content: bytes, more: tuple[str, ...], call: Call, files: Path, tmp_path: Path
) -> None:
    args = ("generate", "--prompt", files / "prompt.txt", "--backend", "fake", "--run-dir", tmp_path, "--queries", "-")
    result = call(*args, *more, input=content)
    stored = [json.loads(line)["query"] for line in (tmp_path / "queries.jsonl").read_text().splitlines()]
    expected = ["[urgent] a cherry", "a query, a leaf"] if content.startswith(b"[") else ["a cherry, red", "a leaf"]
    assert stored == expected, result.stderr


def test_a_json_array_on_standard_input_is_refused(call: Call, files: Path, tmp_path: Path) -> None:
    args = ("generate", "--prompt", files / "prompt.txt", "--backend", "fake", "--run-dir", tmp_path, "--queries", "-")
    result = call(*args, input=b'[\n  {"query": "a"},\n  {"query": "b"}\n]\n')
    assert (result.exit_code, list(tmp_path.iterdir())) == (2, [])
    assert "standard input is a JSON array; write one object per line" in result.stderr


def test_columns_are_named_by_flags_and_by_file(call: Call, files: Path, tmp_path: Path) -> None:
    (tmp_path / "queries.csv").write_text("text,right\na cherry,red\na leaf,green\n")
    (tmp_path / "run.toml").write_text('queries = "queries.csv"\n[columns]\nquery = "text"\n')
    args = ["generate", "--prompt", files / "prompt.txt", "--backend", "fake", "--run-dir", tmp_path / "run"]
    result = call(*args, "--config", tmp_path / "run.toml", "--column", "reference=right")
    assert result.exit_code == 0, result.stderr
    stored = [json.loads(line) for line in (tmp_path / "run" / "queries.jsonl").read_text().splitlines()]
    assert [(row["query"], row["reference"]) for row in stored] == [("a cherry", "red"), ("a leaf", "green")]
    wrong = call(*args, "--queries", tmp_path / "queries.csv", "--column", "query=txet")
    assert wrong.exit_code == 2
    assert "'txet', did you mean 'text'? choose from right, text" in wrong.stderr


def test_a_prompt_in_the_students_frame_is_found(call: Call, job: Job, files: Path, tmp_path: Path) -> None:
    frame = tmp_path / "frame.txt"
    frame.write_text((files / "prompt.txt").read_text() + "{query}\n")
    args = ["run", *job(tmp_path / "run"), "--student-prompt", frame, "--dry-run"]
    assert json.loads(call(*args, "--json").stdout)["prompt_in_student"] == {"queries": 60, "found": 60}
    assert "Warning: the student's input contains the prompt" in call(*args).stdout


def test_hostile_queries_can_not_reach_the_terminal(call: Call, job: Job, tmp_path: Path) -> None:
    queries = tmp_path / "hostile.jsonl"
    hostile = "\x1b]0;owned\x07[bold]\u202e evil\n"
    words = [sha256(bytes([at])).hexdigest() for at in range(40)]  # texts so unlike each other that some are held out
    rows = [{"query": hostile + text, "id": f"{hostile}{at}", "slices": [hostile]} for at, text in enumerate(words)]
    queries.write_text("".join(json.dumps(row) + "\n" for row in rows))
    args = [*job(tmp_path / "run"), "--queries", queries]
    for result in (call("run", *args, "--dry-run"), call("run", *args)):
        assert result.exit_code == 0, result.stderr
        assert not set(result.output) & {"\x1b", "\x07", "\u202e"}
        assert "\\x1b]0;owned\\x07[bold]" in result.stdout.replace("·", "")


def test_a_broken_plugin_is_one_warning(call: Call, job: Job, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Plugins(plugins=[Plugin("bad", "bad.module", "bad-dist", "1", "ImportError: \x1b no")])
    monkeypatch.setattr("pdistill.cli.commands.listings.installed", lambda: broken)
    monkeypatch.setattr("pdistill.core.contract.plugins.installed", lambda: broken)
    result = call("report", finished)
    assert result.exit_code == 0
    assert result.stderr == "warning: plugin bad of bad-dist is skipped: ImportError: \\x1b no\n"
    assert "skipped: ImportError: \\x1b no" in call("plugins").stdout


def test_limit_stops_with_one_line_and_the_next_command_resumes(call: Call, job: Job, tmp_path: Path) -> None:
    run = tmp_path / "run"
    stopped = call("generate", *job(run), *PRICED, "--max-cost", 0.002)
    assert (stopped.exit_code, stopped.stdout) == (1, "")
    last = stopped.stderr.splitlines()[-1]
    assert last.startswith("error: stopped by --max-cost 0.002: $0.00")
    assert last.endswith(
        "; everything done so far is saved; continue with the same command and a higher --max-cost, or none"
    )
    answered = len((run / "responses.jsonl.part").read_bytes().splitlines())
    assert 0 < answered < 60
    assert call("generate", *job(run), *PRICED, "--max-cost", 0.1).exit_code == 0
    spent = json.loads(call("run", *job(run), *PRICED, "--json").stdout)["cost"]["usd"]
    assert spent > 0.01


def test_the_later_stages_take_limit_and_prices(call: Call, job: Job, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert call("generate", *job(run)).exit_code == 0
    price = ("-B", "price_trained=6", "-B", "price_prompt=3")
    stopped = call("train", run, *price, "--max-cost", 0.0001)
    assert stopped.exit_code == 1
    assert "the training up to its next checkpoint could cost $" in stopped.stderr
    assert call("train", run, "--max-cost", 1).exit_code == 0
    assert call("evaluate", run, "--max-cost", 0.0001).exit_code == 1
    assert call("evaluate", run, "--max-cost", 1).exit_code == 0
    assert json.loads(call("report", run, "--json").stdout)["cost"]["prices"]["student"]["trained"] == 6
    assert call("train", run, "-B", "chunk=3").exit_code == 1
    assert call("train", run, "-B", "prise_trained=3").exit_code == 2


def test_limit_on_free_models_is_mentioned_once(call: Call, job: Job, tmp_path: Path) -> None:
    result = call("run", *job(tmp_path / "run"), "--max-cost", 5)
    assert result.exit_code == 0
    assert result.stderr.count("--max-cost 5 has no effect: these models cost no money") == 1
