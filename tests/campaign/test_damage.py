"""Files of a finished run that are cut off, changed or replaced: the same output, or one line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pdistill.core import pipeline
from pdistill.core.setup.config import Config
from pdistill.core.store.seals import Seals
from tests.campaign.draws import CASES, TEXTS, draws, invoke
from tests.runs import SECONDS, contents, fake_config

pytestmark = pytest.mark.campaign
VALUES: tuple[Any, ...] = (None, True, -1, 2**63, 1e308, "", "\udc80", [], {}, [[]], {"a": {}}, "../x", "animal")
DEEP = b"[" * 100_000


def cut_off(content: bytes, random: Random) -> bytes:
    return content[: random.randrange(len(content) + 1)]


def one_byte_changed(content: bytes, random: Random) -> bytes:
    at = random.randrange(max(len(content), 1))
    return content[:at] + bytes([random.randrange(256)]) + content[at + 1 :]


def a_line_dropped(content: bytes, random: Random) -> bytes:
    rows = content.splitlines(keepends=True)
    del rows[random.randrange(len(rows)) : random.randrange(len(rows)) + 1 or 1]
    return b"".join(rows)


def hostile_line(content: bytes, random: Random) -> bytes:
    rows = content.splitlines(keepends=True)
    row = random.choice([*map(json.dumps, VALUES), *map(json.dumps, TEXTS), "NaN", "{", DEEP.decode()])
    rows[random.randrange(len(rows))] = f"{row}\n".encode()
    return b"".join(rows)


def hostile_value(content: bytes, random: Random) -> bytes:
    """Return the JSON with a value of another kind in one row, or without the key."""
    whole = content.count(b"\n{") == 0 and not content.startswith(b'{"')
    rows = [content] if whole else content.splitlines(keepends=True)
    at = random.randrange(len(rows))
    try:
        row = json.loads(rows[at])
        key = random.choice(list(row))
    except (ValueError, IndexError, TypeError):
        return content
    if random.random() < 0.25:
        del row[key]
    else:
        row[key] = random.choice(VALUES)
    rows[at] = json.dumps(row).encode() + b"\n"
    return b"".join(rows)


DAMAGES: list[Callable[[bytes, Random], bytes]] = [
    cut_off,
    one_byte_changed,
    a_line_dropped,
    hostile_line,
    hostile_value,
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Config:
    folder = tmp_path_factory.mktemp("damage")
    config = fake_config(folder, folder / "run")
    pipeline.run(config)
    return config


@pytest.mark.parametrize("sealed_again", [False, True])
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("case", CASES)
def test_a_damaged_file_is_told_in_one_line(
    case: int, damage: Callable[[bytes, Random], bytes], sealed_again: bool, finished: Config, tmp_path: Path
) -> None:
    run, random = tmp_path / "run", draws(f"damage {damage.__name__}", case)
    shutil.copytree(finished.directory, run)
    sealed = Seals(run).hashes()
    names = [name for name, content in contents(run).items() if content and name not in SECONDS]
    path = run / random.choice([name for name in names if name in sealed or not sealed_again])
    path.write_bytes(damage(path.read_bytes(), random))
    if sealed_again:
        Seals(run).add(path)
    if random.random() < 0.8:
        (run / "report.json").unlink()
    expected = invoke("report", finished.directory)
    for command in (
        ("report", run),
        ("check", run),
        ("evaluate", run),
        ("judge", run, "--judge", "fake:rule"),
        ("train", run),
    ):
        done = invoke(*command)
        if command[0] == "report" and done.exit_code == 0 and not sealed_again and path.suffix == ".jsonl":
            assert done.stdout.splitlines()[:12] == expected.stdout.splitlines()[:12]
