"""Seals: the hashes of the complete files of a run, by which later stages notice edits."""

from collections.abc import Mapping
from pathlib import Path

from pdistill.core.errors import RunError
from pdistill.core.files import digest
from pdistill.core.store.rows import append_row, read_log

SEALS = "seals.jsonl"
ADVICE = "restore it, or start a new run with --run-dir"


class Seals:
    """The seals of the run in a directory."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / SEALS

    def hashes(self) -> dict[str, str]:
        """Return the hash of each sealed file, by its name."""
        return {row["file"]: row["sha256"] for row in read_log(self._path, {"file": str, "sha256": str})}

    def add(self, part: Path) -> None:
        """Record the hash of a file that is about to be completed."""
        name, sha256 = part.name.removesuffix(".part"), digest(part)
        if self.hashes().get(name) != sha256:
            append_row(self._path, {"file": name, "sha256": sha256})

    def check(self, path: Path, hashes: Mapping[str, str]) -> None:
        """Guarantee that a file is unchanged since it was sealed.

        Args:
            path: the file.
            hashes: what `hashes` returns.

        Raises:
            RunError: it is missing, was changed, or was never sealed.
        """
        if not path.exists():
            raise RunError(f"'{path}' is missing; {ADVICE}")
        if path.name not in hashes:
            raise RunError(f"{self._path} has no hash of {path.name}, so it may have been changed; {ADVICE}")
        if hashes[path.name] != digest(path):
            raise RunError(f"'{path}' was changed after it was complete; {ADVICE}")
