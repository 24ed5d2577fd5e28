"""Every error that a user can cause or must act on.

PdistillError
├── UsageError       wrong options or input files; exit code 2
├── RunError         a run directory that is locked, damaged or was made otherwise
├── BackendError     a model, package, key or device that is missing or failed
│   ├── ContextError     a prompt and query that do not fit the model's context
│   └── BrokenOffError   a training that broke off on a service, and goes on from its last checkpoint
├── TaskError        a task whose queries or answers can't be used
└── PluginError      plugins that contradict each other

Messages are lower case, without a full stop; they name the offending value, the valid choices and the next command.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class PdistillError(Exception):
    """A failure that one line explains; the CLI prints it without a traceback."""

    exit_code = 1


class UsageError(PdistillError):
    """Options or input files that can't be used as given."""

    exit_code = 2


class RunError(PdistillError):
    """A run directory that can't be read, written or continued."""


class BackendError(PdistillError):
    """A model, package, key or device that is missing or failed."""


class ContextError(BackendError):
    """One request whose prompt, query and answer don't fit the model's context.

    Args:
        number: the query's number.
        prompt_tokens: tokens that the query shares with the other requests (the prompt).
        query_tokens: tokens of the request after those.
        max_tokens: tokens that the answer may take.
        context: tokens that the model can hold.
    """

    def __init__(self, number: int, prompt_tokens: int, query_tokens: int, max_tokens: int, context: int) -> None:
        super().__init__(number)
        self.number = number
        self.name = str(number)
        self._why = (
            f"{prompt_tokens:,} tokens of prompt, {query_tokens:,} of query and up to {max_tokens:,} of answer are more than "
            f"the model's context of {context:,} tokens"
        )

    @classmethod
    def told(cls, number: int, why: str) -> "ContextError":
        """Return the error where only a service knows the lengths.

        Args:
            number: the query's number.
            why: what the service says.
        """
        error = cls(number, 0, 0, 0, 0)
        error._why = why
        return error

    def __str__(self) -> str:
        return (
            f"query {self.name!r} does not fit: {self._why}; shorten the prompt, leave the query out, or take a model with a "
            "longer context"
        )


class BrokenOffError(BackendError):
    """A training whose trainer is of no use any more; another one can go on from the last saved state."""


class TaskError(PdistillError):
    """A task whose queries or answers can't be used."""


class PluginError(PdistillError):
    """Plugins that contradict each other, such as two with one name."""


def nearest(word: str, choices: Iterable[str]) -> str:
    """Return ", did you mean 'x'?" for the choice nearest to `word`, or an empty text where none is near."""
    found = get_close_matches(word, list(choices), n=1, cutoff=0.6)
    return f", did you mean '{found[0]}'?" if found else ""


def unknown(kind: str, word: str, choices: Iterable[str]) -> UsageError:
    """Return the error for a name that is none of `choices`, with the nearest and all valid ones."""
    names = sorted(choices)
    near = nearest(word, names)
    valid = f"{' ' if near else '; '}choose from {', '.join(names)}" if names else ""
    return UsageError(f"unknown {kind} '{word}'{near}{valid}")
