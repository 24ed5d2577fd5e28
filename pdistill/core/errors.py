"""Every error that a user can cause or must act on.

PdistillError
├── UsageError       wrong options or input files; exit code 2; also a ValueError
├── RunError         a run directory that is locked, damaged or was made with other options
├── BackendError     a model, package, key or device that is missing or failed
│   ├── ContextError     a request that does not fit the model's context
│   ├── TargetError      an answer that a model's tokenizer has no tokens for
│   ├── RefusedError     more requests than a run can do without that a service refuses
│   └── BrokenOffError   a training run that a service broke off; it can resume from its last checkpoint
├── TaskError        a task whose queries or answers can't be used
└── PluginError      plugins that contradict each other

Messages are lower case, without a full stop; they name the offending value, the valid choices and the next command.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class PdistillError(Exception):
    """A failure that one line explains; the command line prints it without a traceback."""

    exit_code = 1


class UsageError(PdistillError, ValueError):
    """Options or input files that can't be used; also a ValueError, so that notebooks can catch it as one."""

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
        max_tokens: the maximum number of tokens of the answer.
        context: the model's context length, in tokens.
    """

    def __init__(self, number: int, prompt_tokens: int, query_tokens: int, max_tokens: int, context: int) -> None:
        super().__init__(number, prompt_tokens, query_tokens, max_tokens, context)
        self.number = number
        self.name = str(number)
        self._reason = (
            f"{prompt_tokens:,} prompt tokens, {query_tokens:,} query tokens and up to {max_tokens:,} answer tokens exceed "
            f"the model's context length of {context:,} tokens"
        )

    @classmethod
    def told(cls, number: int, why: str) -> "ContextError":
        """Return the error for a request whose lengths only a service knows.

        Args:
            number: the query's number.
            why: the reason that the service gives.
        """
        error = cls(number, 0, 0, 0, 0)
        error._reason = why
        return error

    def __str__(self) -> str:
        return (
            f"query {self.name!r} does not fit: {self._reason}; shorten the prompt, leave the query out, or use a model with "
            "a longer context"
        )


class TargetError(BackendError):
    """A text that no answer of a model can be, as its tokenizer has no ids for it.

    Args:
        model: the model's name.
        target: the text.
        ids: what the tokenizer makes of it, with an end token.
    """

    def __init__(self, model: str, target: str, ids: Sequence[int]) -> None:
        super().__init__(model, target, ids)
        self.model = model
        self.target = target
        self.ids = ids

    def __str__(self) -> str:
        return (
            f"the tokenizer of model '{self.model}' has no tokens for the answer {self.target[:40]!r}: it has a special token "
            "or a character that the tokenizer changes; write it differently in the prompt or in --labels"
        )


class RefusedError(BackendError):
    """More requests than a run can do without that a service refuses.

    Args:
        number: the number of a query that is refused.
        before: the message up to the query's name.
        after: the message after it.
    """

    def __init__(self, number: int, before: str, after: str) -> None:
        super().__init__(number, before, after)
        self.number = number
        self.name = str(number)
        self._before, self._after = before, after

    def __str__(self) -> str:
        return f"{self._before}{self.name!r}{self._after}"


class BrokenOffError(BackendError):
    """A training run whose trainer can no longer be used; another one can resume from the last checkpoint."""


class TaskError(PdistillError):
    """A task whose queries or answers can't be used."""


class PluginError(PdistillError):
    """Plugins that contradict each other, such as two with one name."""


def not_installed(who: str, extra: str, package: str | None = None) -> str:
    """Return the message about a package that comes with an extra of pdistill.

    pip adds an extra's packages to the pdistill that is installed, be it from a clone or from an index.

    Args:
        who: what needs the package, such as "backend tinker".
        extra: the extra's name.
        package: the package's name, if it is known.
    """
    needed = f"the package '{package}', which is not installed" if package else "packages that are not installed"
    return f"{who} needs {needed}; run: pip install 'pdistill[{extra}]'"


def nearest(word: str, choices: Iterable[str]) -> str:
    """Return ", did you mean 'x'?" for the choice closest to `word`, or an empty text if none is close."""
    matches = get_close_matches(word, list(choices), n=1, cutoff=0.6)
    return f", did you mean '{matches[0]}'?" if matches else ""


def unknown(kind: str, word: str, choices: Iterable[str]) -> UsageError:
    """Return the error for a name that is not in `choices`; it names the closest one and all valid ones."""
    names = sorted(choices)
    near = nearest(word, names)
    valid = f"{' ' if near else '; '}choose from {', '.join(names)}" if names else ""
    return UsageError(f"unknown {kind} '{word}'{near}{valid}")
