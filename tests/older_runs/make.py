"""Make the run directories of this folder, by the code of the release before: see README.md."""

import json
import lzma
import os
import shutil
import signal
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
KINDS = ("plain", "samples", "constrain", "prompts", "text", "json", "warm", "local")
TOUCHES = {"open", "os.rename", "os.truncate", "os.mkdir", "os.rmdir", "os.remove"}
JUDGE = ("judge", "run", "--judge", "fake:rule", "-B", "answers=A,B,SAME")


def lines(path: Path) -> list[bytes]:
    """Return the lines of a file, the torn last one included; none where there is no file."""
    return path.read_bytes().splitlines(keepends=True) if path.exists() else []


def torn(path: Path, least: int) -> bool:
    """Return whether a file has that many rows and then the beginning of another."""
    there = lines(path)
    return len(there) > least and not there[-1].endswith(b"\n")


def training(run: Path) -> bool:
    """Return whether the training is two checkpoints and some steps old, and is writing down another step."""
    noted, steps = lines(run / "checkpoints.jsonl"), run / "metrics.jsonl.part"
    return len(noted) > 1 and torn(steps, json.loads(noted[-1])["step"] + 1)


def judging(run: Path) -> bool:
    """Return whether a verdict is being written down."""
    return torn(run / "judged-base.jsonl.part", 1)


def never(run: Path) -> bool:
    """Return False."""
    return False


STAGES: dict[str, Callable[[Path], bool]] = {
    "begun": lambda run: torn(run / "responses.jsonl.part", 17),
    "generated": lambda run: (run / "examples.jsonl").exists() and not (run / "train.json").exists(),
    "training": training,
    "trained": lambda run: (run / "adapter").exists() and not (run / "evaluate.json").exists(),
    "evaluating": lambda run: torn(run / "predictions-student.jsonl.part", 2),
    "probing": lambda run: torn(run / "probes-retention-student.jsonl.part", 5),
    "evaluated": lambda run: (
        (run / "probes-welcome-student.jsonl").exists()
        and (run / "probes-retention-student.jsonl").exists()
        and (run / "predictions-student_prompted.jsonl").exists()
    ),
}


class Watch:
    """Kills this process as soon as the run has reached a stage: at a touch of the disk, or in the midst of a row."""

    def __init__(self, reached: Callable[[Path], bool]) -> None:
        self._reached = reached
        self._busy = False
        writer = import_module("pdistill.core.rowfile").RowWriter
        self._write, writer._write = writer._write, lambda *row: self._torn(*row)
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in TOUCHES and str(arguments[0]).startswith("run/"):
            self._look()

    def _torn(self, writer: Any, content: bytes) -> None:
        for half in (content[: len(content) // 2], content[len(content) // 2 :]):
            self._write(writer, half)
            self._look()

    def _look(self) -> None:
        if self._busy:
            return
        self._busy = True
        if self._reached(Path("run")):
            os.kill(os.getpid(), signal.SIGKILL)
        self._busy = False


def killed(arguments: Sequence[str], reached: Callable[[Path], bool]) -> bool:
    """Call `pdistill` in a child that is killed as soon as the run has reached a stage; return whether it was."""
    child = os.fork()
    if child == 0:
        Watch(reached)
        sys.argv = ["pdistill", *arguments]
        import_module("pdistill.cli.main").main()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def stages(kind: str) -> Iterator[str]:
    """Yield the names of the stages, each when `run` is as it was left there: killed, continued, and at last in one go."""
    command = ("run", "--config", f"{kind}.toml")
    for name, reached in STAGES.items():
        if kind == "local" and name == "probing":
            continue
        assert killed(command, reached), (kind, name)
        yield name
    shutil.rmtree("run")
    assert not killed(command, never)
    yield "complete"
    if kind == "prompts":
        assert killed(JUDGE, judging)
        yield "judging"
        assert not killed(JUDGE, never)
        yield "judged"


def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Return the entry without what tells the machine."""
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o755 if entry.isdir() else 0o644
    return entry


def make(kind: str, work: Path) -> None:
    """Write KIND.tar.xz: a folder for each stage of one run."""
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(HERE / "inputs", work)
    os.chdir(work)
    if kind == "warm":
        with tarfile.open(HERE / "plain.tar.xz") as archive:
            archive.extractall(work / "earlier", filter="data")
        (work / "earlier" / "complete").rename(work / "plain")
    kept = work / "kept"
    for name in stages(kind):
        shutil.copytree(work / "run", kept / name)
        print(kind, name, flush=True)
    with (
        lzma.open(HERE / f"{kind}.tar.xz", "wb", preset=9) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for name in sorted(path.name for path in kept.iterdir()):
            archive.add(kept / name, name, filter=plain)


if __name__ == "__main__":
    folder, *chosen = sys.argv[1:]
    for kind in chosen or KINDS:
        make(kind, Path(folder).absolute() / kind)
