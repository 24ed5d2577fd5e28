"""Loads a function, and samples answers from it: several concurrent calls, yielded in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from pdistill import Completion, Messages, Prompt
from pdistill.plugin import BackendError, Key, Request, Sampling

Function = Callable[[list[dict[str, str]]], str | None]
"""Takes a chat's messages, each with "role" and "content", and returns the answer, or None if it has none."""


class FunctionSampler:
    """Samples answers from one function; temperature and seed have no effect.

    Args:
        function: returns the answer.
        name: its name in error messages.
        workers: number of concurrent calls.
    """

    def __init__(self, function: Function, name: str, workers: int) -> None:
        self.chunk: int | None = None
        self._function = function
        self._name = name
        self._workers = workers

    def generate(self, requests: Iterable[Request], sampling: Sampling) -> Iterator[tuple[Key, Completion]]:
        """Yield an answer for every request.

        Raises:
            BackendError: the function raised an error.
        """
        waiting: deque[tuple[Key, Future[Completion]]] = deque()
        with ThreadPoolExecutor(self._workers) as pool:
            for request in requests:
                waiting.append((request.key, pool.submit(self._answer, request.prompt, sampling)))
                if len(waiting) > self._workers:
                    key, answer = waiting.popleft()
                    yield key, answer.result()
            for key, answer in waiting:
                yield key, answer.result()

    def _answer(self, prompt: Prompt, sampling: Sampling) -> Completion:
        messages = said(prompt)
        asked = sum(len(message["content"].split()) for message in messages)
        try:
            text = self._function(messages)
        except Exception as error:
            raise BackendError(
                f"function '{self._name}' failed on {messages[-1]['content'][:40]!r}: {type(error).__name__}: {error}"
            ) from error
        if text is None:
            return Completion("", "error", asked)
        text, _ = sampling.cut(text)
        words = text.split()
        if len(words) < sampling.max_tokens:
            return Completion(text, "stop", asked, len(words) + 1)
        return Completion(" ".join(words[: sampling.max_tokens]), "length", asked, sampling.max_tokens)


def said(prompt: Prompt) -> list[dict[str, str]]:
    """Return a prompt as messages; plain text becomes one user message."""
    if isinstance(prompt, Messages):
        return [{"role": message.role, "content": message.content} for message in prompt.messages]
    return [{"role": "user", "content": prompt.text}]


def load(name: str) -> Function:
    """Return the function FILE.py:FUNCTION.

    Raises:
        BackendError: the file has no such function, or can't be loaded.
    """
    file, _, function = name.rpartition(":")
    path = Path(file)
    if path.suffix != ".py" or not path.is_file():
        raise BackendError(f"'{name}' is no function of a file; name it as FILE.py:FUNCTION, such as rules.py:answer")
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise BackendError(f"'{file}' can't be loaded: {type(error).__name__}: {error}") from error
    found: Any = getattr(module, function, None)
    if not callable(found):
        there = ", ".join(sorted(key for key, value in vars(module).items() if callable(value) and key[0] != "_"))
        raise BackendError(f"'{file}' has no function '{function}'; it has {there or 'none'}")
    loaded: Function = found
    return loaded
