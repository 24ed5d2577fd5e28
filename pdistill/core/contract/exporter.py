"""What a student offers that can leave pdistill: an export is written, read back as its users read it, and served."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from pdistill.core.contract.batches import TokenIds
from pdistill.core.contract.interfaces import WeightsURI
from pdistill.core.contract.prompts import Prompt
from pdistill.core.contract.sampling import Completion, Sampling


@dataclass(frozen=True, slots=True)
class ExportSpec:
    """What an export shall be.

    Args:
        asked: what the student is asked with, where `{query}` stands for the query.
        max_tokens: the longest answer where its users say nothing.
        merge: whether it is a model of its own, and not an adapter.
    """

    asked: Prompt
    max_tokens: int
    merge: bool


class LoadedExport(Protocol):
    """An export as its users have it: loaded without pdistill, asked with one user message."""

    def prompt_ids(self, query: str) -> TokenIds:
        """Return the ids that one user message becomes."""

    def answers(self, queries: Sequence[str]) -> Iterator[tuple[int, Completion]]:
        """Yield (place in `queries`, answer) for every query, as they finish."""


@runtime_checkable
class Exporter(Protocol):
    """A student that can leave pdistill. `exact` says whether the run computed as its exports do, in float32."""

    exact: bool

    def write_export(self, weights: WeightsURI | None, form: ExportSpec, directory: Path) -> None:
        """Write the student into `directory`, which exists and is empty; None is the base, which is always merged.

        Raises:
            BackendError: the student can't be written in this form.
        """

    def read_export(self, directory: Path) -> AbstractContextManager[LoadedExport]:
        """Return what `write_export` has written, loaded afresh."""

    def serve_export(
        self, directory: Path, name: str, sampling: Sampling, host: str, port: int, ready: Callable[[str], None]
    ) -> None:
        """Answer OpenAI's chat completions for the model `name` until the process is told to stop.

        Args:
            directory: a merged export.
            sampling: what ends its answers, besides its end tokens and what a request asks for.
            ready: is told the address when the server listens.

        Raises:
            BackendError: the address can't be listened on, or what serves is not installed.
        """
