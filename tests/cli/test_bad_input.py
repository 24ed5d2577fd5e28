"""Whatever is wrong with what a user brings: one clear line, exit code 1 or 2, and nothing lost that was there."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow
import pyarrow.parquet
import pytest
from click.testing import CliRunner, Result

from pdistill.cli.main import pdistill
from tests.run_builder import build_run, outcomes

Setup = Callable[[], object]

PROMPT = "Name the kind.\nAnimal:animal\nFruit:fruit\nOther:other\n"
QUERIES = "".join(f'{{"query": "{word} {at} of them"}}\n' for at, word in enumerate(("apes", "pears", "stones") * 6))
JOB = ("run", "--prompt", "prompt.txt", "--queries", "queries.jsonl", "--backend", "fake")
DEEP = "[" * 200_000


class Case(NamedTuple):
    """What is wrong.

    Args:
        name: in a few words.
        says: a pattern of what the line must say.
        files: what is written, by name, instead of the good files.
        args: the command, instead of the good job; those that begin with "+" are added to it.
        code: the exit code.
        input: standard input.
    """

    name: str
    says: str
    files: dict[str, str | bytes] = {}  # noqa: RUF012 - never changed
    args: tuple[str, ...] = ()
    code: int = 2
    input: bytes | None = None


def line(row: str) -> dict[str, str | bytes]:
    """Return a file of queries whose second line is this."""
    return {"queries.jsonl": f'{{"query": "fine"}}\n{row}\n'}


def csv(content: str | bytes, *more: str) -> tuple[dict[str, str | bytes], tuple[str, ...]]:
    """Return a CSV file, and the options that read it."""
    return {"queries.csv": content}, ("+--queries", "queries.csv", *more)


def toml(content: str | bytes) -> tuple[dict[str, str | bytes], tuple[str, ...]]:
    """Return a configuration, and the command that reads it."""
    return {"run.toml": content}, ("+--config", "run.toml")


def toml_check(content: str) -> tuple[dict[str, str | bytes], tuple[str, ...]]:
    """Return a configuration with thresholds, and the command that reads it."""
    return {"run.toml": f"[check]\n{content}\n"}, ("check", "runs/kept", "--config", "run.toml")


CASES = [
    # the prompt's file
    Case("the prompt is missing", "can't read 'none.txt': no such file", args=("+--prompt", "none.txt")),
    Case("a folder without prompts", "there is no prompt in 'folder'", args=("+--prompt", "folder")),
    Case("the prompt is in a folder that is a file", "not a directory", args=("+--prompt", "queries.jsonl/prompt.txt")),
    Case("the prompt is empty", "the prompt is empty", {"prompt.txt": ""}),
    Case("the prompt is white space", "the prompt is empty", {"prompt.txt": " \n\t\r\n"}),
    Case("the prompt is a byte order mark", "the prompt is empty", {"prompt.txt": b"\xef\xbb\xbf"}),
    Case("the prompt is UTF-16", "'prompt.txt': it is not UTF-8 text", {"prompt.txt": PROMPT.encode("utf-16")}),
    Case("the prompt is Latin-1", "'prompt.txt': it is not UTF-8 text", {"prompt.txt": "café".encode("latin-1")}),
    Case("the prompt is a picture", "'prompt.txt': it is not UTF-8 text", {"prompt.txt": b"\x89PNG\r\n\x1a\n\0\xff"}),
    Case("the prompt has NUL characters", "'prompt.txt'.* NUL", {"prompt.txt": "a\0b"}),
    Case("text without a place for the query", r"has no '\{query\}'", args=("+--format", "text")),
    Case(
        "a frame without a place for the query",
        r"student's prompt has no '\{query\}'",
        {"frame.txt": "hm"},
        ("+--student-prompt", "frame.txt"),
    ),
    # the queries' file
    Case("the queries are missing", "can't read 'none.jsonl': no such file", args=("+--queries", "none.jsonl")),
    Case("the queries are a folder", "'folder' is a directory", args=("+--queries", "folder")),
    Case("a folder whose name ends like a file's", "'f.jsonl' is a directory", args=("+--queries", "f.jsonl")),
    Case("a link to itself", "can't read 'loop.jsonl'", args=("+--queries", "loop.jsonl")),
    Case("an ending that is not known", r"must end in \.txt", {"queries.xls": "x"}, ("+--queries", "queries.xls")),
    Case("no ending", r"must end in \.txt", {"queries": "x"}, ("+--queries", "queries")),
    Case("no queries", "there are no queries", {"queries.jsonl": ""}, code=1),
    Case("only blank lines", "there are no queries", {"queries.jsonl": "\n \n\r\n"}, code=1),
    Case("one query", "no query is held out", {"queries.jsonl": '{"query": "x"}\n'}, code=1),
    Case("queries in UTF-16", "'queries.jsonl': it is not UTF-8", {"queries.jsonl": QUERIES.encode("utf-16")}),
    Case("queries in Latin-1", "'queries.jsonl': it is not UTF-8", {"queries.jsonl": b'{"query": "caf\xe9"}'}),
    Case("queries that are cut off", "line 19: not valid JSON", {"queries.jsonl": QUERIES + '{"query": "a'}),
    Case("a list of objects", "line 1: not a JSON object", {"queries.jsonl": '[{"query": "a"}, {"query": "b"}]'}),
    Case("a list over several lines", "line 1: not valid JSON", {"queries.jsonl": '[\n{"query": "a"}\n]'}),
    Case("JSON that is nested deeply", "line 2: not valid JSON", line(DEEP)),
    Case("a deep value in a key that is not asked for", "line 2: not valid JSON", line(f'{{"query": "a", "x": {DEEP}}}')),
    Case("a number of 5,000 digits", "line 2: not valid JSON", line(f'{{"query": "a", "id": {"9" * 5000}}}')),
    Case("a mistyped key", "line 2: no key 'query'; found 'qeury', did you mean 'query'", line('{"qeury": "a"}')),
    Case("a query that is a number", "line 2: 'query' must be a string, not 3", line('{"query": 3}')),
    Case("a query that is NaN", "line 2: 'query' must be a string, not NaN", line('{"query": NaN}')),
    Case("a query of no length", "line 2: 'query' is empty", line('{"query": ""}')),
    Case("a query of white space", "line 2: 'query' is empty", line('{"query": " \\n\\u3000"}')),
    Case("half of a surrogate pair", r"line 2: .*surrogate", line('{"query": "a \\ud83d b"}')),
    Case("a reference that is NaN", "line 2: 'reference' must be a string or a number, not NaN", line('{"query": "a", "reference": NaN}')),
    Case("a reference that is a list", "line 2: 'reference' must be a string or a number, not", line('{"query": "a", "reference": ["b"]}')),
    Case(
        "a reference that is no label",
        "query '1': the reference 'billling' is not one of the labels, did you mean 'billing'",
        line('{"query": "a", "reference": "billling"}'),
        ("+--labels", "billing,delivery"),
    ),
    Case("an id that is an object", "line 2: 'id' must be a string or a number, not", line('{"query": "a", "id": {}}')),
    Case("one id twice", "queries number 0 and 1 have the same id, 'x'", {"queries.jsonl": '{"query": "a", "id": "x"}\n{"query": "b", "id": "x"}\n'}),
    Case("an id that is another's number", "queries number 0 and 1 have the same id, '1'", {"queries.jsonl": '{"query": "a", "id": 1}\n{"query": "b"}\n'}),
    Case("slices that are a text", "line 2: 'slices' must be a list of strings", line('{"query": "a", "slices": "b"}')),
    Case("a conversation that ends with the assistant", "line 2: the last of 'messages'", line('{"messages": [{"role": "assistant", "content": "a"}]}')),
    Case("a conversation with a system message", "the system message is --prompt", line('{"messages": [{"role": "system", "content": "a"}]}')),
    Case("nothing on standard input", "there are no queries", args=("+--queries", "-"), code=1, input=b""),
    Case("a picture on standard input", "it is not UTF-8 text", args=("+--queries", "-"), input=b"\x89PNG\r\n\x1a\n\0\xff"),
    # tables
    Case("a CSV file without the column", "found 'text', 'label'; name the one with the query: --column query=NAME", *csv("text,label\na,b\n")),
    Case("a CSV file that is empty", "there are no queries", *csv(""), code=1),
    Case("a CSV row with a cell too many", "line 3: the number of cells differs", *csv("query,id\na,1\nb,2,3\n")),
    Case("a CSV quotation that does not end", "not valid CSV", *csv('query,id\n"a,1\nb,2\n')),
    Case("a CSV cell without a query", "line 3: 'query' is empty", *csv("query,id\na,1\n,2\n")),
    Case("a column that is not there", "unknown column of .*: 'txt', did you mean 'text'", *csv("text\na\n", "--column", "query=txt")),
    Case("a key that is not known", "unknown column 'refrence', did you mean 'reference'", *csv("query\na\n", "--column", "refrence=x")),
    Case("a column without its name", "--column 'query' is not of the form KEY=VALUE", *csv("query\na\n", "--column", "query")),
    Case("a Parquet file that is none", "can't read 'q.parquet'", {"q.parquet": b"PAR1 but no more"}, ("+--queries", "q.parquet")),
    Case("a Parquet file with a number for a query", "row 1: 'query' must be a string", args=("+--queries", "numbers.parquet")),
    # the configuration
    Case("no TOML", "'run.toml' is not valid TOML: .*line 1", *toml("prompt = prompt.txt\n")),
    Case("TOML in UTF-16", "'run.toml' is not valid TOML", *toml("seed = 1\n".encode("utf-16"))),
    Case("a key twice in TOML", "'run.toml' is not valid TOML", *toml("seed = 1\nseed = 2\n")),
    Case("TOML that is nested deeply", "'run.toml' is not valid TOML", *toml("seed = " + DEEP)),
    Case("an unknown key in TOML", "unknown key in 'run.toml': 'epoch', did you mean 'epochs'", *toml("epoch = 3\n")),
    Case("a word for a number in TOML", "invalid value 'many' for option epochs of the configuration", *toml('epochs = "many"\n')),
    Case("a number for a list in TOML", "invalid value 3 for option labels of the configuration", *toml("labels = 3\n")),
    Case("a list for a file in TOML", "run-dir in 'run.toml' is \\['a'\\], not a path in quotes", *toml('run-dir = ["a"]\n')),
    Case("NaN in TOML", "invalid value nan for --learning-rate: must be a finite number above 0", *toml("learning-rate = nan\n")),
    Case("a date in TOML", "option seed of the configuration", *toml("seed = 2020-01-01\n")),
    Case("a text for a table in TOML", r"not a table; write \[backend-options\]", *toml('backend-options = "x"\n')),
    Case("the configuration is missing", "can't read 'none.toml'", args=("+--config", "none.toml")),
    Case("the configuration is a folder", "'folder' is a directory", args=("+--config", "folder")),
    # options
    Case("a temperature that is NaN", "--temperature", args=("+--temperature", "nan")),
    Case("a top-p that is NaN", "--top-p", args=("+--top-p", "nan")),
    Case("a limit of nothing", "'--limit'", args=("+--limit", "0")),
    Case("a limit that no machine counts to", "'--limit': 99999999999999999999 is not in the range", args=("+--limit", "99999999999999999999")),
    Case("samples without end", "'--samples': 1000000000000 is not in the range", args=("+--samples", "1000000000000", "--temperature", "1")),
    Case("epochs without end", "invalid value 1000000000000 for --epochs: must be at least 1 and at most 100,000", *toml("epochs = 1_000_000_000_000\n")),
    Case("a rank that fits nowhere", "'--rank': 1000000000 is not in the range 1<=x<=65536", args=("+--rank", "1000000000")),
    Case("a seed of 30 digits", "invalid value 9{30} for --seed", *toml(f"seed = {'9' * 30}\n")),
    Case("a number of 5,000 digits in TOML", "'run.toml' is not valid TOML", *toml(f"seed = {'9' * 5000}\n")),
    Case("a chunk that no machine counts to", "option chunk of backend fake: must be", args=("+-B", "chunk=99999999999999999999")),
    Case("queries without end", "'--limit': 99999999999999999999 is not in the range", args=("queries", "--from-logs", "queries.jsonl", "--limit", "99999999999999999999")),
    Case("a threshold that is NaN", "'--min-agreement': nan is not a number", args=("check", "runs/kept", "--min-agreement", "nan")),
    Case("a threshold that nothing reaches", "'--min-recovery': inf is not in the range", args=("check", "runs/kept", "--min-recovery", "inf")),
    Case("a threshold of 400 digits", r"min-recovery in \[check\] of 'run.toml' is 9+, not a number", *toml_check("min-recovery = " + "9" * 400)),
    Case("a parity that is NaN", "'--min-parity': nan is not a number", args=("export", "runs/kept", "new", "--min-parity", "nan")),
    Case("a spending limit that is NaN", "'--max-cost': nan is not a number", args=("judge", "runs/kept", "--judge", "fake:rule", "--max-cost", "nan")),
    Case("a seed that is a word", "'--seed'", args=("+--seed", "x")),
    Case("one label twice", "an empty label or the same label twice", args=("+--labels", "a,a")),
    Case("a stop text without text", "--stop is empty", args=("+--stop", "")),
    Case("an option that the backend has not", "option of backend fake: 'chnk', did you mean 'chunk'", args=("+-B", "chnk=3")),
    Case("an option of the wrong type", "invalid value 'x' for option chunk of backend fake", args=("+-B", "chunk=x")),
    Case("a backend that is not there", "unknown backend 'fak'", args=("+--backend", "fak")),
    Case("a model that is not there", "has no model 'rul', did you mean 'rule'", args=("+--teacher", "rul"), code=1),
    Case("a pattern that is none", "the pattern '\\(' is not a valid regular expression", args=("+--pattern", "(")),
    Case("a pattern that no answer matches", "answers of the teacher can't be used", {}, ("+--pattern", "x{9}"), code=1),
    Case("a schema that is missing", "can't read 'none.json'", args=("+--json-schema", "none.json")),
    Case("a schema that is no JSON", "is not JSON", {"s.json": "{"}, ("+--json-schema", "s.json")),
    Case("a schema that is nested deeply", "s.json", {"s.json": DEEP}, ("+--json-schema", "s.json")),
    Case("a schema that can't be met", "answers of the teacher can't be used", {"s.json": "false"}, ("+--json-schema", "s.json"), code=1),
    # what does not fit
    Case("a prompt longer than the context", "query '0' does not fit: .* exceed the model's context length of 8 tokens", args=("+-B", "context=8"), code=1),
    Case("a query longer than the context", "query '1' does not fit", line(f'{{"query": "{"x " * 100_000}"}}'), ("+-B", "context=400"), code=1),
    # models of the local backend
    Case("a model's folder that is empty", "'folder'", args=("+--backend", "local", "--teacher", "folder"), code=1),
    Case("a model's folder with a broken file", "model './model'", {"model/config.json": "{"}, ("+--backend", "local", "--teacher", "./model"), code=1),
    Case("a GGUF file that is none", "'m.gguf'", {"m.gguf": b"not at all"}, ("+--backend", "local", "--teacher", "m.gguf"), code=1),
    Case("a GGUF file that is missing", "'none.gguf'", args=("+--backend", "local", "--teacher", "none.gguf"), code=1),
    # the run's folder
    Case("the run's folder is a file", "can't use 'prompt.txt'|'prompt.txt' is a file", args=("+--run-dir", "prompt.txt")),
    Case("the run's folder is in a file", "can't use .*not a directory", args=("+--run-dir", "prompt.txt/run"), code=1),
    Case("a run to take answers from that is not there", "unknown run 'nun'", args=("+--from", "nun")),
    Case("a run made from another prompt", "was made with other options: another prompt", {"prompt.txt": "Other.\nA:a\nB:b\n"}, ("+--run-dir", "runs/kept"), code=1),
    Case("a run whose run.json is none", "run.json was edited or damaged", {"runs/kept/run.json": "{"}, ("report", "runs/kept"), code=1),
    Case("a run whose run.json is a list", "run.json was edited or damaged", {"runs/kept/run.json": "[1]"}, ("report", "runs/kept"), code=1),
    Case("a run whose rows are damaged", "was changed after it was complete|not a row", {"runs/kept/examples.jsonl": b"\0\xff\n"}, ("report", "runs/kept"), code=1),
]  # fmt: skip


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the files of an evaluated run, which has no report yet."""
    folder = tmp_path_factory.mktemp("kept")
    rows = outcomes(json.loads(row)["query"] for row in QUERIES.splitlines())
    paths: dict[str, Any] = {"prompt": Path("prompt.txt"), "queries": Path("queries.jsonl")}
    build_run(folder / "runs" / "kept", rows, prompt_text=PROMPT.strip(), probes={}, labels=None, **paths)
    return contents(folder / "runs")


def write(folder: Path, files: dict[str, str | bytes]) -> None:
    for name, content in {"prompt.txt": PROMPT, "queries.jsonl": QUERIES, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder.parent)): path.read_bytes() for path in files}


def invoke(args: tuple[str, ...], input: bytes | None = None) -> Result:
    return CliRunner().invoke(pdistill, args, input=input)


def test_there_are_fifty_kinds_and_more() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 50


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("name", ["prompt.txt", "queries.jsonl"])
def test_a_file_that_may_not_be_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, {})
    (tmp_path / name).chmod(0)
    done = invoke(JOB)
    assert (done.exit_code, done.stderr) == (2, f"error: can't read '{name}': permission denied\n")


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_bad_input(case: Case, kept: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PDISTILL_TRACEBACK", raising=False)
    write(tmp_path, {**kept, **case.files})
    for folder in ("folder", "f.jsonl"):
        (tmp_path / folder).mkdir()
    (tmp_path / "loop.jsonl").symlink_to("loop.jsonl")
    pyarrow.parquet.write_table(pyarrow.table({"query": [1, 2]}), tmp_path / "numbers.parquet")
    before = contents(tmp_path)
    first, *rest = case.args or JOB
    done = invoke((*JOB, first[1:], *rest) if first.startswith("+") else (first, *rest), case.input)
    *progress, last = done.stderr.splitlines()
    assert done.exit_code == case.code, done.output
    assert last.startswith("error: "), last
    assert re.search(case.says, last), last
    assert len(last) < 500, last
    assert not [text for text in (*progress, last) if "error: unexpected" in text or "Traceback" in text]
    after = contents(tmp_path)
    assert {name: after.get(name) for name in before} == before
