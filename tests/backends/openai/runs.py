"""Small complete runs: the toy server's model is the teacher of a fake student."""

import json
from pathlib import Path
from typing import Any

from pdistill.core.setup.config import Config
from tests.backends.openai.toy import MODEL
from tests.runs import fake_config

QUERIES = 30


def small_config(folder: Path, **changes: Any) -> Config:
    """Return the options of such a run, in the subfolder `run`."""
    options = {"student": "fake:rule", "teacher": f"openai:{MODEL}", "labels": None, "force": True, **changes}
    return fake_config(folder, folder / "run", **options)


def flags(folder: Path) -> list[str]:
    """Return the same options as command-line flags."""
    config = small_config(folder)
    return [
        f"--prompt={config.prompt}", f"--queries={config.queries}", f"--teacher={config.teacher}",
        f"--student={config.student}", f"--run-dir={config.run_dir}",
    ]  # fmt: skip


def rows(folder: Path, name: str = "responses.jsonl") -> list[dict[str, Any]]:
    """Return the rows of a file of the run."""
    return [json.loads(line) for line in (folder / "run" / name).read_text().splitlines()]
