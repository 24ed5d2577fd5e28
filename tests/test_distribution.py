"""The published packages work without the repository: an sdist, a wheel built from it, and the built-in model in both."""

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODEL = "pdistill/models/langid/model.safetensors"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel built from it."""
    folder = tmp_path_factory.mktemp("dist")
    execute([sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)], folder)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    return next(built.glob("*.whl"))


def execute(command: list[str], folder: Path, **environment: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env={**kept, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_both_hold_the_model_the_licence_and_the_types(built: Path, wheel: Path) -> None:
    packed = zipfile.ZipFile(wheel).namelist()
    assert {MODEL, "pdistill/py.typed", "pdistill/tasks/langid/prompt.txt"} <= set(packed)
    assert any(name.endswith("licenses/LICENSE") for name in packed)
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {MODEL, "README.md", "constraints.txt", "tests/test_distribution.py"} <= names


def test_the_wheel_does_the_main_job_without_the_sources(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "packages"
    execute([sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(place), str(wheel)], tmp_path)
    where = execute(
        [sys.executable, "-c", "import pdistill; print(pdistill.__file__)"], tmp_path, PYTHONPATH=str(place)
    )
    assert Path(where.strip()).is_relative_to(place)
    command = [sys.executable, "-m", "pdistill", "run", "--task", "langid", "--limit", "60", "--force", "--epochs", "1"]
    assert "agrees with the teacher" in execute(command, tmp_path, PYTHONPATH=str(place))


def test_wheel_requires_everything_that_the_core_needs(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", with_pip=True)
    programs = tmp_path / "bare" / "bin"
    constraints = str(ROOT / "constraints.txt")
    execute([str(programs / "pip"), "install", "--quiet", "--constraint", constraints, str(wheel)], tmp_path)
    program = str(programs / "pdistill")
    command = [
        "run",
        "--task",
        "langid",
        "--backend",
        "fake",
        "--teacher",
        "rule",
        "--student",
        "rule",
        "--limit",
        "120",
    ]
    assert "agrees with the teacher" in execute([program, *command], tmp_path)
    refused = subprocess.run(
        [program, "run", "--task", "langid", "--run-dir", "local"], cwd=tmp_path, capture_output=True, text=True
    )
    assert (refused.returncode, "pip install" in refused.stderr, len(refused.stderr.splitlines())) == (1, True, 1)
