"""Plugins that were written for version 0.1.0, as they were written then: they load, and whole runs work with them."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pdistill.cli.main import pdistill
from pdistill.core.contract.plugins import installed

FOLDER = Path(__file__).parent / "older_plugins"
SUMS = {line[66:]: line[:64] for line in (FOLDER / "SHA256SUMS").read_text().splitlines()}
NAMES = ("pdistill-backend-function", "pdistill-task-sentiment")


def install(name: str, site: Path) -> None:
    """Guarantee that the plugin can be imported, and its entry points found, where `site` is on the path."""
    project = tomllib.loads((FOLDER / name / "pyproject.toml").read_text("utf-8"))["project"]
    info = site / f"{name.replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {project['version']}\n")
    points = "".join(f"{key} = {value}\n" for key, value in project["entry-points"]["pdistill"].items())
    (info / "entry_points.txt").write_text(f"[pdistill]\n{points}")
    package = name.replace("-", "_")
    shutil.copytree(FOLDER / name / "src" / package, site / package)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Return a folder in which both are installed."""
    for name in NAMES:
        install(name, tmp_path / "site")
    return tmp_path / "site"


@pytest.fixture
def loaded(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[warnings.WarningMessage]]:
    """Load them in this process; return the warnings that come up from then on, of which only deprecations are allowed."""
    monkeypatch.syspath_prepend(site)
    installed.cache_clear()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("error")
        warnings.simplefilter("always", DeprecationWarning)
        yield said
    installed.cache_clear()
    for name in [name for name in sys.modules if name.startswith(tuple(name.replace("-", "_") for name in NAMES))]:
        del sys.modules[name]


def call(*arguments: object) -> Any:
    result = CliRunner().invoke(pdistill, [*map(str, arguments), "--json"])
    assert result.exit_code == 0, (result.stderr, result.exception)
    return json.loads(result.stdout)


def test_they_are_kept_as_they_were_written() -> None:
    files = [path for name in NAMES for path in (FOLDER / name).rglob("*") if "__pycache__" not in path.parts]
    found = {
        path.relative_to(FOLDER).as_posix(): sha256(path.read_bytes()).hexdigest() for path in files if path.is_file()
    }
    assert found == SUMS


def test_they_are_found_and_have_no_problem(loaded: list[warnings.WarningMessage]) -> None:
    plugins = {plugin["distribution"]: plugin["problem"] for plugin in call("plugins")}
    assert {name: plugins.get(name, "not found") for name in NAMES} == dict.fromkeys(NAMES)
    assert all("pdistill" in str(warning.message) for warning in loaded)


def test_a_function_is_the_teacher_of_a_run(loaded: list[warnings.WarningMessage], tmp_path: Path) -> None:
    rules = FOLDER / "pdistill-backend-function" / "tests" / "rules.py"
    words = ("heron", "foxes", "dog", "oak", "ferns", "moss", "saw", "hammer", "drill", "cloud")
    (tmp_path / "prompt.txt").write_text("What is the text about? Answer with one word: animal, plant or tool.")
    lines = [f"thing number {number} is a {word}" for number in range(6) for word in words]
    (tmp_path / "queries.txt").write_text("\n".join(lines))
    report = call(
        *("run", "--prompt", tmp_path / "prompt.txt", "--queries", tmp_path / "queries.txt"),
        *("--labels", "animal,plant,tool", "--teacher", f"function:{rules}:answer", "--student", "fake:rule"),
        *("-B", "teacher.workers=3", "--run-dir", tmp_path / "run"),
    )
    assert report["rejections"] == {"the backend gave no answer": 6}
    arms = report["arms"]
    assert arms["student"]["agreement"]["value"] > arms["base"]["agreement"]["value"]
    told = {str(warning.message) for warning in loaded}
    assert all("pdistill" in line for line in told)
    assert "pdistill.core.interfaces has moved; import Capability from pdistill.plugin" in told
    assert "pdistill.core.sampling has moved; import Request from pdistill.plugin" in told
    assert any(".can is called capabilities" in line for line in told)


def test_a_task_is_distilled(loaded: list[warnings.WarningMessage], tmp_path: Path) -> None:
    report = call("run", "--task", "sentiment", "--backend", "fake", "--limit", 120, "--run-dir", tmp_path / "run")
    assert report["n"]["rejected"] == 0
    assert report["arms"]["student"]["agreement"]["value"] > report["arms"]["base"]["agreement"]["value"]
    assert all("pdistill" in str(warning.message) for warning in loaded)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_they_pass_their_own_tests(name: str, site: Path, tmp_path: Path) -> None:
    project = shutil.copytree(FOLDER / name, tmp_path / name)
    shutil.rmtree(project / "src")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"]
    paths = os.pathsep.join([str(site), *sys.path])
    done = subprocess.run(
        [*command, "-W", "default::DeprecationWarning", "-m", "not slow", project],
        env={**os.environ, "PYTHONPATH": paths},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\d+ passed", done.stdout, re.MULTILINE), done.stdout
