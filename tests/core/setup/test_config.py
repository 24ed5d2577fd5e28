from pathlib import Path

import pytest

from pdistill.core.errors import UsageError
from pdistill.core.setup.config import Config, config_from
from pdistill.core.setup.configfile import read_config_file


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "no task given; give --task NAME"),
        ({"prompt": "p.txt"}, "--queries is missing; without --task, --prompt needs --queries FILE"),
        ({"queries": "q.txt"}, "--prompt is missing"),
        ({"task": "x", "labels": ["a"]}, "--labels can only be used with --prompt and --queries: the task x"),
        ({"task": "x", "limit": 0}, "invalid value 0 for --limit: must be at least 1"),
        ({"task": "x", "samples": 3}, "--samples 3 needs a --temperature above 0"),
        ({"task": "x", "min_confidence": 0.8}, "--min-confidence needs several samples per query; give --samples N"),
        ({"task": "x", "select": "best"}, "--select best needs several samples per query"),
        (
            {"task": "x", "samples": 3, "temperature": 1, "min_confidence": 1.2},
            "invalid value 1.2 for --min-confidence: must be above 0 and at most 1",
        ),
        (
            {"task": "x", "answer_after": "So:"},
            "--answer-after can only be used with --prompt and --queries: the task x reads",
        ),
        ({"prompt": "p", "queries": "q", "answer_after": " "}, "--answer-after is empty"),
        ({"prompt": "p", "queries": "q", "keep_reasoning": True}, "--keep-reasoning needs --answer-after TEXT"),
        ({"task": "x", "top_p": 1.5}, "invalid value 1.5 for --top-p: must be above 0 and at most 1"),
        ({"task": "x", "temperature": -1}, "invalid value -1.0 for --temperature: must be at least 0"),
        (
            {"task": "x", "learning_rate": float("nan")},
            "invalid value nan for --learning-rate: must be a finite number above 0",
        ),
        ({"task": "x", "stop": [""]}, "--stop is empty"),
        (
            {"prompt": "p", "queries": "q", "labels": ["a", "a"]},
            "--labels a,a contains an empty label or the same label twice",
        ),
        ({"task": "x", "objective": "soft"}, "invalid value 'soft' for option objective of the configuration"),
        ({"task": "x", "epoch": 1}, "unknown option of the configuration: 'epoch', did you mean 'epochs'"),
    ],
)
def test_invalid_options(values: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        config_from(values)


def test_a_run_is_named_after_its_task_or_its_prompt() -> None:
    assert Config(task="langid").directory == Path("runs/langid")
    assert Config(prompt=Path("a/rules.txt"), queries=Path("q.txt")).directory == Path("runs/rules")
    assert Config(task="langid", run_dir=Path("x")).directory == Path("x")


def test_a_toml_file_says_what_the_flags_say(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(
        'prompt = "p.txt"\nqueries = "q.jsonl"\nmax-tokens = 5\nfrom = "old"\nstop = ","\n'
        "[backend-options]\nmax-rows = 3\n[backend-options.teacher]\nchunk = 4\n"
    )
    config = config_from(read_config_file(path))
    assert (config.prompt, config.queries, config.from_run) == (
        tmp_path / "p.txt",
        tmp_path / "q.jsonl",
        tmp_path / "old",
    )
    assert (config.max_tokens, config.stop) == (5, (",",))
    assert config.backend_options == {"max_rows": 3, "teacher.chunk": 4}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("backend-options = 'x'", "not a table"),
        ("tsak = 'x'", "unknown key in .*: 'tsak', did you mean 'task'"),
        ("task = ", "is not valid TOML: invalid value"),
    ],
)
def test_a_wrong_toml_file_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "run.toml"
    path.write_text(content)
    with pytest.raises(UsageError, match=message):
        read_config_file(path)


def test_run_json_keeps_the_order_of_its_keys() -> None:
    assert " ".join(Config(task="x").asked()) == (
        "task task_options labels agreement pattern answer_after keep_reasoning constrain format stop backend "
        "backend_options teacher limit seed temperature top_p max_tokens samples select min_confidence no_probes student objective "
        "learning_rate epochs batch_size rank warm_start prompt queries held_out student_prompt json_schema columns"
    )


def test_what_was_asked_is_plain_json() -> None:
    asked = Config(task="x", stop=("a",), queries=Path("q.txt"), backend_options={"b": "1"}).asked()
    assert (asked["stop"], asked["queries"], asked["backend_options"]) == (["a"], "q.txt", {"b": "1"})
    assert "force" not in asked
    assert "from_run" not in asked
