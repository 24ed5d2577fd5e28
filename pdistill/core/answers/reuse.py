"""Answers of an earlier run that need not be asked for again (`--from RUN`)."""

from array import array
from bisect import bisect_left
from collections.abc import Mapping
from types import TracebackType
from typing import Any, BinaryIO

from pdistill.core.answers.answer import Question
from pdistill.core.contract.prompts import prompt_hash
from pdistill.core.errors import RunError
from pdistill.core.store.rows import Row, decode
from pdistill.core.store.rundir import RunDirectory, differences

SAME = ("teacher", "temperature", "top_p", "max_tokens", "stop", "first_line", "format", "constrain")


class Reusable:
    """The answers of an earlier run, by what was asked; holds offsets, not rows. A context manager.

    Args:
        run: the earlier run; None: there is nothing to reuse.
        settings: what this run resolved.

    Raises:
        RunError: the earlier run has another model or sampling, or no answers yet.
    """

    def __init__(self, run: RunDirectory | None, settings: Mapping[str, Any]) -> None:
        self.run = run
        self.found = 0
        """Answers that were found so far."""
        self._path = None
        self._file: BinaryIO | None = None
        self._keys = array("Q")
        self._offsets = array("q")
        if run is None:
            return
        earlier = run.read_json("generate.json")
        if earlier is None:
            raise RunError(f"'{run.path}' has no answers to reuse; run it first, or leave --from out")
        stored = {key: earlier["settings"].get(key) for key in SAME}
        differing = differences(stored, {key: settings.get(key) for key in SAME})
        if settings["temperature"] > 0:
            differing += differences({"seed": earlier["settings"]["seed"]}, {"seed": settings["seed"]})
        if differing:
            raise RunError(
                f"the answers in '{run.path}' can't be reused, they were made otherwise: {', '.join(differing)}"
            )
        rows = run.responses(earlier["settings"]["samples"])
        self._path = rows.path if rows.complete else rows.part

    def __enter__(self) -> "Reusable":
        import numpy as np

        if self._path is None or not self._path.exists():
            return self
        keys, offsets, offset = array("Q"), array("q"), 0
        self._file = self._path.open("rb")
        for at, line in enumerate(self._file, start=1):
            if not line.endswith(b"\n"):
                break
            row = decode(line, self._path, at)
            keys.append(_key(row["prompt"], row.get("sample", 0)))
            offsets.append(offset)
            offset += len(line)
        order = np.argsort(keys, kind="stable")
        self._keys = array("Q", np.array(keys)[order].tobytes())
        self._offsets = array("q", np.array(offsets)[order].tobytes())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def find(self, question: Question) -> Row | None:
        """Return the row that answers the question, with its new number and id and the mark `reused`, or None."""
        if self._file is None or self._path is None:
            return None
        key = _key(prompt_hash(question.request.prompt), question.request.key.sample)
        place = bisect_left(self._keys, key)
        if place == len(self._keys) or self._keys[place] != key:
            return None
        self._file.seek(self._offsets[place])
        row = decode(self._file.readline(), self._path, place)
        query = question.query
        self.found += 1
        return {**row, "number": query.number, "id": query.id, "query": query.text, "reused": True}


def _key(prompt: str, sample: int) -> int:
    """Return the hash of a prompt, told apart by the sample, in 64 bits."""
    return int(prompt, 16) ^ sample
