"""Query files, configurations and options drawn at random: a run, or one line that says what is wrong."""

import csv
import io
import json
from pathlib import Path
from random import Random
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from pdistill.core.contract.optionfields import Option
from pdistill.core.setup.config import OPTIONS
from tests.campaign.draws import CASES, TEXTS, draws, invoke
from tests.runs import write_task

pytestmark = pytest.mark.campaign
COLUMNS = ("query", "messages", "id", "reference", "slices", "group", "prompt", "Query", "a.b", "")
NUMBERS = (0, 1, -1, 2, 7, 2**31, 2**63, 10**30, 0.5, -0.0, 1e308, 5e-324, float("nan"), float("inf"))
TURN = {"role": "user", "content": "a"}
VALUES: tuple[Any, ...] = (
    *TEXTS,
    *NUMBERS,
    None,
    True,
    [],
    ["a"],
    [1],
    {},
    {"a": 1},
    [TURN],
    [{**TURN, "role": "system"}],
    "\udc80",
)
PARQUET = (
    pyarrow.array([2**62, 1], pyarrow.timestamp("ns")),
    pyarrow.array([2**30, 1], pyarrow.date32()),
    pyarrow.array([b"\xff", b"a"], pyarrow.binary()).view(pyarrow.string()),
    pyarrow.array([b"\xff", b"a"]),
    pyarrow.array([1, 2], pyarrow.duration("ns")),
    pyarrow.array([["a"], None]),
    pyarrow.array([1.5, None]),
    pyarrow.array([[TURN], [TURN]]),
    pyarrow.array([{"a": 1}, None]),
    pyarrow.array(["a", "b"]).dictionary_encode(),
    pyarrow.array(["a", "b"]),
)


def damaged(content: bytes, random: Random) -> bytes:
    """Return the content, once in four times with some bytes changed, added or lost."""
    if random.random() < 0.75 or not content:
        return content
    at = random.randrange(len(content))
    return content[:at] + random.randbytes(random.randrange(4)) + content[at + random.randrange(4) :]


def row_of(random: Random) -> dict[str, Any]:
    names = random.sample(COLUMNS, random.randint(0, 4))
    row = {name: random.choice(VALUES) for name in names}
    return {**row, "query": random.choice(TEXTS)} if random.random() < 0.8 else row


def query_file(folder: Path, ending: str, random: Random) -> Path:
    """Write a file of queries, most of which are hostile."""
    path, rows = folder / f"drawn.{ending}", [row_of(random) for _ in range(random.randrange(12))]
    if ending == "parquet":
        names = random.sample(COLUMNS[:-1], random.randint(0, 4))
        table = pyarrow.Table.from_arrays([random.choice(PARQUET) for _ in names], names=names)
        pyarrow.parquet.write_table(table, path)
        content = path.read_bytes()
    elif ending == "csv":
        table_text = io.StringIO()
        writer = csv.writer(table_text)
        writer.writerows(random.choices(TEXTS, k=random.randint(1, 3)) for _ in range(4))
        content = f"query,id\n{table_text.getvalue()}".encode("utf-8", "surrogatepass")
    elif ending == "txt":
        content = "\n".join(random.choices(TEXTS, k=8)).encode()
    else:
        content = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
        content = content if ending == "jsonl" else b"[" + content.replace(b"\n", b",") + b"]"
    path.write_bytes(damaged(content, random))
    return path


def value_of(option: Option, random: Random) -> str:
    """Return a text for an option's flag: right, nearly right or hostile."""
    if option.type in (int, float):
        return str(random.choice(NUMBERS))
    return random.choice([*TEXTS, "a=b", "=", "1", "langid", "fake", "(", "a{99999999}", str(option.default)]).replace(
        "\0", ""
    )


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "txt", "parquet"])
@pytest.mark.parametrize("case", CASES)
def test_a_file_of_queries(case: int, ending: str, tmp_path: Path) -> None:
    random = draws(f"queries {ending}", case)
    prompt, _ = write_task(tmp_path)
    path = query_file(tmp_path, ending, random)
    columns = ["--column", f"{random.choice(COLUMNS)}={random.choice(COLUMNS)}"] if random.random() < 0.3 else []
    job = ("--prompt", prompt, "--queries", path, "--backend", "fake", "--run-dir", tmp_path / "run", "--no-probes")
    invoke("run", *job, *columns)


@pytest.mark.parametrize("case", CASES)
def test_options(case: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    random = draws("options", case)
    prompt, queries = write_task(tmp_path)
    job: list[object] = ["--prompt", prompt, "--queries", queries, "--backend", "fake", "--no-probes", "--limit", "9"]
    for option in random.sample(OPTIONS, random.randint(1, 3)):
        job += [option.flag] if option.type is bool else [option.flag, value_of(option, random)]
    invoke("run", *job, *random.choice([[], ["--dry-run"], ["--json"]]))


@pytest.mark.parametrize("case", CASES)
def test_a_configuration(case: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    random = draws("configuration", case)
    write_task(tmp_path)
    keys = {
        "prompt": '"prompt.txt"',
        "queries": '"queries.jsonl"',
        "backend": '"fake"',
        "limit": "9",
        "no-probes": "true",
    }
    for option in random.sample(OPTIONS, random.randint(1, 4)):
        hostile = [json.dumps(text) for text in TEXTS]
        keys[option.name] = random.choice([*hostile, *map(str, NUMBERS), "[]", "{}", "{a = 1}", "1979-05-27", "true"])
    content = "".join(f"{key} = {value}\n" for key, value in keys.items())
    (tmp_path / "run.toml").write_bytes(damaged(content.encode(), random))
    invoke("run", "--config", "run.toml")


@pytest.mark.parametrize("case", CASES)
def test_a_log(case: int, tmp_path: Path) -> None:
    random = draws("log", case)
    log, output = tmp_path / "log.jsonl", tmp_path / "queries.jsonl"
    rows = [
        {"messages": [{**TURN, "content": random.choice(VALUES)} for _ in range(random.randrange(3))]} for _ in range(6)
    ]
    log.write_bytes(damaged("".join(f"{json.dumps(row)}\n" for row in rows).encode(), random))
    if invoke("queries", "--from-logs", log, "--output", output).exit_code == 0:
        job = ("--prompt", write_task(tmp_path / "job")[0], "--queries", output, "--backend", "fake", "--dry-run")
        done = invoke("run", *job, "--run-dir", tmp_path / "run")
        assert done.exit_code == 0 or "can't read" not in done.stderr, done.stderr
