"""A new task as its author gets it: installed, tested, and distilled on the fake backend."""

import json
from pathlib import Path

from pdistill.core.setup.newtask import write_package
from tests.venvs import Venv


def test_it_installs_passes_its_tests_and_runs(tmp_path: Path) -> None:
    place, _ = write_package("bike-mail", tmp_path / "package")
    environment = Venv(tmp_path / "venv")
    environment.install(place)
    tested = environment.call("-m", "pytest", "-q", "-p", "no:cacheprovider", place, cwd=tmp_path)
    assert "11 passed" in tested
    listed = json.loads(environment.call("-m", "pdistill", "tasks", "bike-mail", "--json", cwd=tmp_path))
    assert (listed["queries"], listed["labels"]) == (45, ["loan", "room", "other"])
    environment.call("-m", "pdistill", "run", "--task", "bike-mail", "--backend", "fake", cwd=tmp_path)
    report = json.loads((tmp_path / "runs" / "bike-mail" / "report.json").read_text())
    assert report["arms"]["student"]["agreement"]["value"] > report["arms"]["base"]["agreement"]["value"]
