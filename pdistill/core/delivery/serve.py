"""Serves the student of a run over an OpenAI-compatible API, from a verified export."""

import json
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pdistill.core.contract.exporter import ChecksServing, Exporter
from pdistill.core.contract.sampling import Sampling
from pdistill.core.delivery.ask import trained_student
from pdistill.core.delivery.export import RECORD, adapter_hashes, export, exporter_of
from pdistill.core.progress import Progress
from pdistill.core.results.reporting import report
from pdistill.core.store.rundir import RunDirectory


@dataclass(frozen=True, slots=True)
class Servable:
    """A student that is ready to be served: the directory of its merged export, its sampling, and its model name for clients."""

    exporter: Exporter
    folder: Path
    sampling: Sampling
    name: str

    def serve(
        self,
        host: str,
        port: int,
        ready: Callable[[str], None],
        allowed: Collection[str] = (),
        *,
        ignore_system: bool = False,
    ) -> None:
        """Answer requests until the process is stopped.

        Args:
            ready: called with the address once the server accepts requests.
            allowed: more host names that requests may be addressed to.
            ignore_system: whether system messages are left out of the requests.

        Raises:
            BackendError: the server can't use the address, or the packages for serving are not installed.
        """
        given = {"allowed": allowed, "ignore_system": ignore_system}
        more: Any = {name: value for name, value in given.items() if value}  # exporters of 0.1 don't take them
        self.exporter.serve_export(self.folder, self.name, self.sampling, host, port, ready, **more)


def servable(run: RunDirectory, progress: Progress) -> Servable:
    """Return the student of a run, exported into merged/ unless it already is.

    Raises:
        RunError: the run has no evaluated student.
        BackendError: the student can't be exported, or the packages for serving are not installed.
    """
    trained = trained_student(run)
    exporter = exporter_of(trained)
    if isinstance(exporter, ChecksServing):
        exporter.check_serving()
    folder = run.path / "merged"
    report(run)  # it locks the run itself
    with run.lock():
        if not _current(run, folder):
            shutil.rmtree(folder, ignore_errors=True)
            export(run, folder, merge=True, progress=progress)
    return Servable(exporter, folder, trained.sampling, run.path.resolve().name)


def _current(run: RunDirectory, folder: Path) -> bool:
    """Return whether the export was made from the current adapter."""
    try:
        record = json.loads((folder / RECORD).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and record.get("adapter") == adapter_hashes(run)
