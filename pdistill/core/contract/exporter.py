"""The interface of a student that can be exported: the export is written, loaded as its users load it, and served."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from pdistill.core.contract.batches import TokenIds
from pdistill.core.contract.interfaces import WeightsURI
from pdistill.core.contract.prompts import Messages, Prompt
from pdistill.core.contract.sampling import Completion, Sampling


@dataclass(frozen=True, slots=True)
class ExportSpec:
    """What an export is to contain.

    Args:
        asked: the student's input, where `{query}` stands for the query.
        max_tokens: the default limit of an answer's length, in tokens.
        merge: whether it is a complete model rather than an adapter.
    """

    asked: Prompt
    max_tokens: int
    merge: bool


Asked = str | Messages
"""The input of an export: one user message, or the turns of a conversation, the last of which is the user's."""


class LoadedExport(Protocol):
    """An export as its users have it: loaded without pdistill, its input is one user message or a conversation."""

    def prompt_ids(self, query: Asked) -> TokenIds:
        """Return the token ids of one user message, or of a conversation."""

    def answers(self, queries: Sequence[Asked]) -> Iterator[tuple[int, Completion]]:
        """Yield (index in `queries`, answer) for every query, as they finish."""


@runtime_checkable
class Exporter(Protocol):
    """A student that can be exported. `exact` says whether the run computed in float32, as its exports do."""

    exact: bool

    def write_export(self, weights: WeightsURI | None, form: ExportSpec, directory: Path) -> None:
        """Write the student into `directory`, which exists and is empty; None is the base, which is always merged.

        Raises:
            BackendError: the student cannot be written in this form.
        """

    def read_export(self, directory: Path) -> AbstractContextManager[LoadedExport]:
        """Return a context manager that loads what `write_export` wrote."""

    def serve_export(
        self,
        directory: Path,
        name: str,
        sampling: Sampling,
        host: str,
        port: int,
        ready: Callable[[str], None],
        allowed: Collection[str] = (),
        *,
        ignore_system: bool = False,
    ) -> None:
        """Serve OpenAI-compatible chat completions for the model `name` until the process is told to stop.

        Args:
            directory: a merged export.
            sampling: what ends its answers, in addition to its end tokens and what a request specifies.
            ready: called with the address once the server is listening.
            allowed: host names that requests may be addressed to, besides `host` and this machine's own.
            ignore_system: whether system messages are left out of the requests.

        Raises:
            BackendError: the server cannot listen on the address, or a package that it needs is not installed.
        """


@runtime_checkable
class ChecksServing(Protocol):
    """An exporter that knows before the export whether it can serve one."""

    def check_serving(self) -> None:
        """Guarantee that the packages for serving are installed.

        Raises:
            BackendError: one is not.
        """
