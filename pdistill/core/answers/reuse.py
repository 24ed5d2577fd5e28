"""Answers of an earlier run that are reused instead of requested again (`--from RUN`)."""

from array import array
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import BinaryIO, Self

from pdistill.core.answers.collect import Question
from pdistill.core.contract.interfaces import Renderer
from pdistill.core.contract.prompts import Prompt, prompt_hash
from pdistill.core.errors import RunError
from pdistill.core.setup.inputs import stored_inputs
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
        renderer: returns the teacher's renderer; with it, answers to the same ids are reused where only the prompt's place
            among the messages has changed.

    Raises:
        RunError: the earlier run has another model or sampling, or no answers yet.
    """

    def __init__(
        self,
        run: RunDirectory | None,
        settings: GenerateSettings,
        renderer: Callable[[], Renderer | None] = lambda: None,
    ) -> None:
        self.run = run
        self._renderer = renderer
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
        self._task = stored_inputs(run, earlier.format).task
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
        prompt = question.request.prompt
        place = self._place(prompt, question.key.sample)
        if place is None:
            place = self._moved(question)
        if place is None:
            return None
        answer = AnswerRow.from_row(read_at(self._file, self._offsets[place], self._path))
        self.count += 1
        return replace(answer.reused_for(question.query), prompt=prompt_hash(prompt))

    def _place(self, prompt: Prompt, sample: int) -> int | None:
        key = _key(prompt_hash(prompt), sample)
        place = bisect_left(self._keys, key)
        return place if place < len(self._keys) and self._keys[place] == key else None

    def _moved(self, question: Question) -> int | None:
        """Return the place of the answer to the same ids, which the earlier run rendered from other messages."""
        if question.query.prompt and question.query.prompt not in self._task.prompts:
            return None
        before = self._task.teacher_prompt(question.query)
        place = self._place(before, question.key.sample)
        if place is None or (renderer := self._renderer()) is None:
            return None
        same = list(renderer.prompt_ids(before)) == list(renderer.prompt_ids(question.request.prompt))
        return place if same else None


def _key(prompt: str, sample: int) -> int:
    """Return a 64-bit key for the hash of a prompt and a sample number."""
    return int(prompt, 16) ^ sample
