"""Answers of an earlier run that are reused instead of requested again (`--from RUN`)."""

from array import array
from bisect import bisect_left
from types import TracebackType
from typing import BinaryIO, Self

from pdistill.core.answers.collect import Question
from pdistill.core.contract.prompts import prompt_hash
from pdistill.core.errors import RunError
from pdistill.core.store.answerrow import AnswerRow
from pdistill.core.store.rows import decode, read_at
from pdistill.core.store.rundir import RunDirectory, differences
from pdistill.core.store.settings import GenerateSettings

SAME = ("teacher", "temperature", "top_p", "max_tokens", "stop", "first_line", "format", "constrain")
"""The settings, by their names in generate.json, that both runs must have in common."""


class Reusable:
    """The answers of an earlier run, by prompt and sample; holds offsets, not rows. A context manager.

    Args:
        run: the earlier run; None: there is nothing to reuse.
        settings: the settings of this run.

    Raises:
        RunError: the earlier run has another model or sampling, or no answers yet.
    """

    def __init__(self, run: RunDirectory | None, settings: GenerateSettings) -> None:
        self.run = run
        self.count = 0
        """The number of answers reused."""
        self._path = None
        self._file: BinaryIO | None = None
        self._keys = array("Q")
        self._offsets = array("q")
        if run is None:
            return
        earlier = run.stored(GenerateSettings)
        if earlier is None:
            raise RunError(f"'{run.path}' has no answers to reuse; run it first, or leave --from out")
        keys = (*SAME, "seed") if settings.temperature > 0 else SAME
        before, now = ({key: row[key] for key in keys} for row in (earlier.settings_row(), settings.settings_row()))
        differing = differences(before, now)
        if differing:
            raise RunError(
                f"the answers in '{run.path}' can't be reused: they were made with other options: {', '.join(differing)}"
            )
        rows = run.responses(earlier.samples)
        self._path = rows.path if rows.complete else rows.part

    def __enter__(self) -> Self:
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

    def find(self, question: Question) -> AnswerRow | None:
        """Return the row with the answer to the question, or None."""
        if self._file is None or self._path is None:
            return None
        key = _key(prompt_hash(question.request.prompt), question.key.sample)
        place = bisect_left(self._keys, key)
        if place == len(self._keys) or self._keys[place] != key:
            return None
        answer = AnswerRow.from_row(read_at(self._file, self._offsets[place], self._path))
        self.count += 1
        return answer.reused_for(question.query)


def _key(prompt: str, sample: int) -> int:
    """Return a 64-bit key for the hash of a prompt and a sample number."""
    return int(prompt, 16) ^ sample
