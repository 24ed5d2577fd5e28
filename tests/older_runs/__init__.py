"""Run directories as version 0.1.0 left them, by kind and stage, and the files that they were made from."""

import shutil
import tarfile
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
STAGES = ("begun", "generated", "training", "trained", "evaluating", "probing", "evaluated", "complete")

Files = dict[str, bytes]


@cache
def stored(kind: str) -> dict[str, Files]:
    """Return for each stage at which a run of this kind was stopped the files that it left, by their paths in the run."""
    stages: dict[str, Files] = {}
    with tarfile.open(FOLDER / f"{kind}.tar.xz") as archive:
        for entry in archive:
            content = archive.extractfile(entry) if entry.isfile() else None
            if content is not None:
                stage, _, path = entry.name.partition("/")
                stages.setdefault(stage, {})[path] = content.read()
    return stages


def unpack(kind: str, stage: str, run_dir: Path) -> Path:
    """Return the folder after it was made the run of this kind as it was when it stopped at the stage."""
    for name, content in stored(kind)[stage].items():
        path = run_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return run_dir


def unpack_inputs(folder: Path) -> None:
    """Guarantee that the folder holds what the runs were made from: KIND.toml with the options, prompts and queries."""
    shutil.copytree(FOLDER / "inputs", folder, dirs_exist_ok=True)
