"""The run directory: its files, the lock for writing to it, and the settings of its stages."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from pdistill.core.contract.jsontext import JsonObject, Keys, Row
from pdistill.core.errors import RunError, unknown
from pdistill.core.escape import json_text
from pdistill.core.files import storage_error, write_file
from pdistill.core.store.rowfile import AnswerFile, RowFile
from pdistill.core.store.rows import DAMAGE, NUMBER, append_row, read_log, read_rows
from pdistill.core.store.seals import SEALS, Seals
from pdistill.core.store.settings import EvaluateSettings, StageSettings

STEP: Keys = {"step": int, "loss": NUMBER, "sequence_tokens": int}
PROBE: Keys = {"probe": str, "number": int, "query": str}
"""What the rows of metrics.jsonl and of probes.jsonl have."""
HASHED = {
    "prompt": "another prompt",
    "student_prompt": "another student prompt",
    "queries": "other queries",
    "json_schema": "another JSON schema",
    "prompts": "other prompts",
    "held_out": "another --held-out",
}
MADE_AGAIN = ("examples.", "predictions-", "probes-")
"""How the names of sealed files begin that their stage makes again if they are missing."""
REMOTE_NOTE = "remote.json"
"""The name of the note in adapter/ on a student that a service trained."""
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
"""The arms that answer each probe."""


S = TypeVar("S", bound=StageSettings)


class RunDirectory:
    """The directory of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.queries = path / "queries.jsonl"
        self.examples = path / "examples.jsonl"
        self.probes = path / "probes.jsonl"
        self.adapter = path / "adapter"
        self.start = path / "start"
        self.report = path / "report.json"
        self._seals = Seals(path)

    @property
    def evaluated(self) -> bool:
        """Whether every arm has answered all held-out queries and all its probes."""
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
        """Return the file of an arm's answers to the queries of the preflight."""
        return AnswerFile(self.path / f"preflight-{arm}.jsonl")

    def predictions(self, arm: str) -> AnswerFile:
        """Return the file of one arm's answers to the held-out queries."""
        return AnswerFile(self.path / f"predictions-{arm}.jsonl")

    def probe(self, probe: str, arm: str) -> AnswerFile:
        """Return the file of one arm's answers to the questions of a probe."""
        return AnswerFile(self.path / f"probes-{probe}-{arm}.jsonl")

    def unprobed(self, arm: str) -> list[str]:
        """Return the probes that this arm still has to answer; none in a run that was started without probes."""
        if not self.probes.exists():
            return []
        evaluated = self.stored(EvaluateSettings)
        left_out = evaluated.left_out if evaluated else {}
        asked = {row["probe"] for row in read_rows(self.probes, PROBE)}
        due = (probe for probe, arms in PROBES.items() if arm in arms and probe in asked and probe not in left_out)
        return [probe for probe in due if not self.probe(probe, arm).complete]

    def metrics(self) -> RowFile:
        """Return the file of training steps; its first row is step 1."""
        return RowFile(self.path / "metrics.jsonl", lambda row: row["step"] - 1, STEP)

    def read_json(self, name: str) -> JsonObject | None:
        """Return the content of a JSON file of the run, or None where the file does not exist.

        Raises:
            RunError: the file cannot be read or was damaged.
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

    def write_json(self, name: str, value: Row) -> None:
        """Guarantee that a JSON file of the run holds `value`, without any character that a terminal obeys.

        Raises:
            RunError: it cannot be written.
        """
        write_file(self.path / name, f"{json_text(value, indent=2)}\n".encode())

    def asked(self) -> JsonObject:
        """Return the content of run.json: the options, hashes and versions that the run was started with.

        Raises:
            RunError: there is no run here.
        """
        content = self.read_json("run.json")
        if content is None:
            raise RunError(f"there is no run in '{self.path}'; start one with pdistill run or pdistill generate")
        return content

    def stage(self, name: str) -> JsonObject:
        """Return what a stage ("generate", "train" or "evaluate") stored when it was first opened, as plain JSON values.

        Raises:
            RunError: there is no run, or it has not reached that stage.
        """
        self.asked()
        stage = self.read_json(f"{name}.json")
        if stage is None:
            command = f"pdistill {name} {self.path}" if self.examples.exists() else "the command that started it"
            raise RunError(f"the run in '{self.path}' has not reached that stage; continue with {command}")
        return stage

    def settings(self, kind: type[S]) -> S:
        """Return the settings that a stage resolved when it was first opened.

        Raises:
            RunError: there is no run, it has not reached that stage, or the file was damaged.
        """
        return self._settings(kind, self.stage(kind.STAGE))

    def stored(self, kind: type[S]) -> S | None:
        """Return the settings that a stage resolved when it was first opened, or None where it has not been opened.

        Raises:
            RunError: the file was damaged.
        """
        row = self.read_json(f"{kind.STAGE}.json")
        return None if row is None else self._settings(kind, row)

    def write_settings(self, settings: StageSettings) -> None:
        """Guarantee that the settings of a stage are stored.

        Raises:
            RunError: they cannot be written.
        """
        self.write_json(f"{settings.STAGE}.json", settings.as_row())

    def _settings(self, kind: type[S], row: Row) -> S:
        try:
            return kind.from_row(row)
        except DAMAGE:
            raise self._damaged(f"{kind.STAGE}.json") from None

    def _damaged(self, name: str) -> RunError:
        return RunError(f"{self.path / name} was edited or damaged; restore it, or start a new run with --run-dir")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Guarantee that no other process writes to this run inside the block; creates the directory where it is missing.

        Raises:
            RunError: another process does, or the directory cannot be created or read.
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
                f"another process is working on '{self.path}'; wait for it, or use another --run-dir"
            ) from None
        else:
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Record the start and the duration of the block, in seconds, in timings.jsonl, even if it is interrupted."""
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
        """Return the duration of each stage in seconds, summed over interruptions."""
        total = dict.fromkeys(("generate", "train", "evaluate"), 0.0)
        for row in read_log(self.path / "timings.jsonl", {"stage": str, "seconds": NUMBER}):
            total[row["stage"]] = round(total.get(row["stage"], 0.0) + row["seconds"], 3)
        return total

    def seal(self, part: Path) -> None:
        """Record the hash of a file that is about to be completed, so that later stages detect edits."""
        self._seals.add(part)

    def check(self, path: Path) -> Path:
        """Return `path`, which is guaranteed to be unchanged since it was sealed.

        Raises:
            RunError: it is missing, was changed, or was never sealed.
        """
        self._seals.check(path, self._seals.hashes())
        return path

    def check_all(self) -> None:
        """Guarantee that every file which was sealed is there and unchanged, and so are the probes where the run has them.

        A file may be missing only if its stage makes it again, or is not finished.

        Raises:
            RunError: one is missing or was changed, or the seals are missing.
        """
        hashes, expected = self._seals.hashes(), [self.queries.name]
        options = self.asked()["options"]
        if options.get("no_probes") is False:  # runs from before there were probes don't have the option
            expected.append(self.probes.name)
        for name in dict.fromkeys([*expected, *hashes]):
            path = self.within(name, SEALS)
            unfinished = name.startswith(MADE_AGAIN) or path.with_name(f"{name}.part").exists()
            if path.exists() or not unfinished:
                self._seals.check(path, hashes)

    def within(self, name: str, source: str) -> Path:
        """Return the path of a file or directory of the run that one of its files names.

        Args:
            source: the name of the file that names it.

        Raises:
            RunError: it is not in the run.
        """
        path = self.path / name
        if not path.resolve().is_relative_to(self.path.resolve()) or path.resolve() == self.path.resolve():
            raise RunError(f"{self.path / source} names {name!r}, which is not in the run; don't use this run")
        return path


def find_run(name: str) -> RunDirectory:
    """Return the run at that path, or of that name in runs/.

    Raises:
        RunError: there are no runs at all.
        UsageError: there is no run of that name; it suggests the nearest.
    """
    for path in (Path(name), Path("runs") / name):
        if (path / "run.json").exists():
            return RunDirectory(path)
    names = sorted(path.parent.name for path in Path("runs").glob("*/run.json"))
    if names:
        raise unknown("run", name, names)
    raise RunError(f"there is no run '{name}'; start one with pdistill run")


def differences(stored: Row, now: Row) -> list[str]:
    """Return a text for each key whose value differs, such as "limit 100 (now 200)"; hashes are not shown."""
    return [
        HASHED.get(key) or f"{key.replace('_', '-')} {_shown(stored.get(key))} (now {_shown(value)})"
        for key, value in now.items()
        if stored.get(key) != value
    ]


def _shown(value: object) -> str:
    return "unset" if value is None or value in ({}, []) else json.dumps(value, ensure_ascii=False).strip('"')
