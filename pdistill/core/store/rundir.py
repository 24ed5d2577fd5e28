"""The run directory: what stands in it, who writes to it, and how a stage is opened or gone on with."""

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from pdistill.core.errors import RunError, unknown
from pdistill.core.files import digest, storage_error, write_file
from pdistill.core.store.rowfile import AnswerFile, RowFile
from pdistill.core.store.rows import Row, append_row, read_log
from pdistill.core.store.settings import EvaluateSettings, StageSettings

HASHED = {
    "prompt": "another prompt",
    "student_prompt": "another student prompt",
    "queries": "other queries",
    "json_schema": "another JSON schema",
    "prompts": "other prompts",
}
REMOTE_NOTE = "remote.json"
"""What adapter/ holds beside the adapter of a student that a service trained."""
ARMS = ("teacher", "base", "base_prompted", "student", "student_prompted")
BASE_ARMS = ("base", "base_prompted")
STUDENT_ARMS = ("student", "student_prompted")
PROMPTED = ("teacher", "base_prompted", "student_prompted")
PROBES = {
    "leakage": ("base", "student"),
    "retention": ("base", "student"),
    "injection": ("teacher", "student"),
    "welcome": ("base", "student"),
}
"""The probes, and who is asked in each."""


S = TypeVar("S", bound=StageSettings)


class RunDirectory:
    """One run's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.queries = path / "queries.jsonl"
        self.examples = path / "examples.jsonl"
        self.probes = path / "probes.jsonl"
        self.adapter = path / "adapter"
        self.start = path / "start"
        self.report = path / "report.json"

    @property
    def evaluated(self) -> bool:
        """Whether every arm has answered every held-out query, and all of its probes."""
        answered = all(self.predictions(arm).complete for arm in ARMS)
        return answered and not any(self.unprobed(arm) for arm in ("base", "student"))

    @property
    def exists(self) -> bool:
        """Whether there is a run."""
        return (self.path / "run.json").exists()

    def responses(self, samples: int) -> AnswerFile:
        """Return the file of the teacher's answers, `samples` per query."""
        return AnswerFile(self.path / "responses.jsonl", samples)

    def preflight(self, arm: str) -> AnswerFile:
        """Return the file of an arm's answers to the queries of the pre-flight."""
        return AnswerFile(self.path / f"preflight-{arm}.jsonl")

    def predictions(self, arm: str) -> AnswerFile:
        """Return the file of one arm's answers to the held-out queries."""
        return AnswerFile(self.path / f"predictions-{arm}.jsonl")

    def probe(self, probe: str, arm: str) -> AnswerFile:
        """Return the file of one arm's answers to the questions of a probe."""
        return AnswerFile(self.path / f"probes-{probe}-{arm}.jsonl")

    def unprobed(self, arm: str) -> list[str]:
        """Return the probes that this arm is still to be asked; none in a run that was begun without probes."""
        if not self.probes.exists():
            return []
        evaluated = self.stored(EvaluateSettings)
        left_out = evaluated.left_out if evaluated else {}
        due = (probe for probe, arms in PROBES.items() if arm in arms and probe not in left_out)
        return [probe for probe in due if not self.probe(probe, arm).complete]

    def metrics(self) -> RowFile:
        """Return the file of training steps; its rows begin with step 1."""
        return RowFile(self.path / "metrics.jsonl", lambda row: row["step"] - 1)

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Return what a JSON file of the run holds, or None where it is not there.

        Raises:
            RunError: the file can't be read or was damaged.
        """
        path = self.path / name
        try:
            value = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise storage_error(error, path) from None
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise self._damaged(name)
        return value

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Guarantee that a JSON file of the run holds `value`.

        Raises:
            RunError: it can't be written.
        """
        text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
        write_file(
            self.path / name, text.encode("utf-8", "backslashreplace")
        )  # a lone surrogate becomes its JSON escape

    def asked(self) -> dict[str, Any]:
        """Return run.json.

        Raises:
            RunError: there is no run here.
        """
        asked = self.read_json("run.json")
        if asked is None:
            raise RunError(f"there is no run in '{self.path}'; make one with pdistill run or pdistill generate")
        return asked

    def stage(self, name: str) -> dict[str, Any]:
        """Return what a stage ("generate", "train" or "evaluate") noted when it first opened, as plain JSON values.

        Raises:
            RunError: there is no run, or it has not reached that stage.
        """
        self.asked()
        stage = self.read_json(f"{name}.json")
        if stage is None:
            command = f"pdistill {name} {self.path}" if self.examples.exists() else "the command that began it"
            raise RunError(f"the run in '{self.path}' has not reached that stage; continue with {command}")
        return stage

    def settings(self, kind: type[S]) -> S:
        """Return what a stage resolved when it first opened.

        Raises:
            RunError: there is no run, it has not reached that stage, or the file was damaged.
        """
        return self._settings(kind, self.stage(kind.STAGE))

    def stored(self, kind: type[S]) -> S | None:
        """Return what a stage resolved when it first opened, or None where it has not been opened.

        Raises:
            RunError: the file was damaged.
        """
        row = self.read_json(f"{kind.STAGE}.json")
        return None if row is None else self._settings(kind, row)

    def write_settings(self, settings: StageSettings) -> None:
        """Guarantee that the settings of a stage are stored.

        Raises:
            RunError: they can't be written.
        """
        self.write_json(f"{settings.STAGE}.json", settings.as_row())

    def _settings(self, kind: type[S], row: Row) -> S:
        try:
            return kind.from_row(row)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise self._damaged(f"{kind.STAGE}.json") from None

    def _damaged(self, name: str) -> RunError:
        return RunError(f"{self.path / name} was edited or damaged; restore it, or start a new run with --run-dir")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Guarantee that no other process writes to this run meanwhile; makes the folder where it is missing.

        Raises:
            RunError: another process does, or the folder can't be made or read.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDONLY)
        except OSError as error:
            raise storage_error(error, self.path) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(
                f"another process is working on '{self.path}'; wait for it, or take another --run-dir"
            ) from None
        else:
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Note in timings.jsonl how long this stage worked, in seconds, and when, also if it is interrupted."""
        began, started = time.monotonic(), datetime.now(UTC)
        try:
            yield
        finally:
            row = {
                "stage": stage,
                "started": started.isoformat(timespec="seconds"),
                "seconds": round(time.monotonic() - began, 3),
            }
            append_row(self.path / "timings.jsonl", row)

    def seconds(self) -> dict[str, float]:
        """Return the seconds that each stage worked, over all its interruptions."""
        total = dict.fromkeys(("generate", "train", "evaluate"), 0.0)
        for row in read_log(self.path / "timings.jsonl"):
            total[row["stage"]] = round(total[row["stage"]] + row["seconds"], 3)
        return total

    def seal(self, part: Path) -> None:
        """Note the hash of a file that is about to be complete, so that a later stage sees whether it was edited."""
        name, found = part.name.removesuffix(".part"), digest(part)
        if self._seals().get(name) != found:
            append_row(self.path / "seals.jsonl", {"file": name, "sha256": found})

    def check(self, path: Path) -> Path:
        """Return `path`, which is as it was when it was sealed.

        Raises:
            RunError: it is gone or was changed since.
        """
        sealed = self._seals().get(path.name)
        if not path.exists():
            raise RunError(f"'{path}' is missing; restore it, or start a new run with --run-dir")
        if sealed is not None and sealed != digest(path):
            raise RunError(f"'{path}' was changed after it was complete; restore it, or start a new run with --run-dir")
        return path

    def _seals(self) -> dict[str, str]:
        return {row["file"]: row["sha256"] for row in read_log(self.path / "seals.jsonl")}


def find_run(name: str) -> RunDirectory:
    """Return the run of that path, or of that name under runs/.

    Raises:
        RunError: there is no run at all.
        UsageError: there is none of that name; it suggests the nearest.
    """
    for path in (Path(name), Path("runs") / name):
        if (path / "run.json").exists():
            return RunDirectory(path)
    there = sorted(path.parent.name for path in Path("runs").glob("*/run.json"))
    if there:
        raise unknown("run", name, there)
    raise RunError(f"there is no run '{name}'; make one with pdistill run")


def differences(stored: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return one text for each key whose value differs, such as "limit 100 (now 200)"; hashes are not shown."""
    return [
        HASHED.get(key) or f"{key.replace('_', '-')} {_shown(stored.get(key))} (now {_shown(value)})"
        for key, value in now.items()
        if stored.get(key) != value
    ]


def _shown(value: Any) -> str:
    return "unset" if value is None or value in ({}, []) else json.dumps(value, ensure_ascii=False).strip('"')
