"""Gives served answers as a run compares them: without leading whitespace, and cut at stop sequences, of which no part is streamed."""

import asyncio
import copy
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from transformers import StoppingCriteria, StoppingCriteriaList
from transformers.cli.serving.utils import GenerateManager

from pdistill.backends.local.export.transformers_export import TransformersExport
from pdistill.backends.local.sampling.stop_text_filter import StopTextFilter
from pdistill.core.contract.sampling import Sampling

Managers: Any = GenerateManager


class StopCriteria(StoppingCriteria):
    """Ends an answer at a stop sequence, or at once when the server stops, and records whether it ended by itself.

    Args:
        sampling: what ends answers.
        decode: decodes the ids of an answer to its text.
        prompt_length: tokens of the prompt.
        ends: the model's end tokens.
        settings: the answer's own; `max_new_tokens` becomes None once the answer has ended by itself, which tells
            transformers' handler that it was not cut off.
        stopping: set when all answers must end.
    """

    def __init__(
        self,
        sampling: Sampling,
        decode: Callable[[Any], str],
        prompt_length: int,
        ends: frozenset[int],
        settings: Any,
        stopping: threading.Event,
    ) -> None:
        self.sampling = sampling
        self.decode = decode
        self.prompt_length = prompt_length
        self.ends = ends
        self.settings = settings
        self.stopping = stopping

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        """Return whether each row ends here; there is only one."""
        answer = input_ids[0, self.prompt_length :]
        by_text = bool(self.sampling.stop) or self.sampling.stop_at_newline
        cut = by_text and self.sampling.cut(self.decode(answer))[1]
        if cut or int(answer[-1]) in self.ends:
            self.settings.max_new_tokens = None
        return torch.full((input_ids.shape[0],), cut or self.stopping.is_set(), device=input_ids.device)


class FilteredQueue:
    """A queue of an answer's pieces, from its first character that is not whitespace to its first stop sequence.

    What is not text is passed on.
    """

    def __init__(self, queue: "asyncio.Queue[Any]", stop_filter: StopTextFilter) -> None:
        self._queue = queue
        self._stop_filter = stop_filter
        self._ready: deque[Any] = deque()
        self._begun = False

    async def get(self) -> Any:
        """Return the next piece; None at the end."""
        while not self._ready:
            self._filter(await self._queue.get())
        return self._ready.popleft()

    def get_nowait(self) -> Any:
        """Return the next piece, if there is one.

        Raises:
            asyncio.QueueEmpty: there is none.
        """
        while not self._ready:
            self._filter(self._queue.get_nowait())
        return self._ready.popleft()

    def _filter(self, item: Any) -> None:
        if isinstance(item, str):
            shown = [self._stop_filter.feed(item)]
        elif item is None:
            shown = [self._stop_filter.rest()]
        else:
            shown = []
        for piece in shown:
            text = piece if self._begun else piece.lstrip()
            if text:
                self._begun = True
                self._ready.append(text)
        if not isinstance(item, str):
            self._ready.append(item)


class GenerationManager:
    """Generates answers one after the other, as transformers' manager does, and ends them at their stop sequences.

    Args:
        export: the model.
        sampling: what ends its answers, in addition to the request's own stop sequences.
    """

    def __init__(self, export: TransformersExport, sampling: Sampling) -> None:
        self._own = Managers()
        self.export = export
        self.sampling = sampling
        self.stopping = threading.Event()

    def generate_streaming(self, model: Any, processor: Any, inputs: Any, gen_config: Any, **kwargs: Any) -> Any:
        """Return the queue of an answer's pieces, and their streamer."""
        queue, streamer = self._own.generate_streaming(model, processor, inputs, gen_config, **kwargs)
        return FilteredQueue(queue, StopTextFilter(self._sampling(gen_config))), streamer

    async def generate_non_streaming(
        self, model: Any, processor: Any, inputs: Any, gen_config: Any, **kwargs: Any
    ) -> Any:
        """Return an answer's text, the number of its prompt's tokens, and its ids."""
        text, prompt_length, ids = await self._own.generate_non_streaming(
            model, processor, inputs, gen_config, **kwargs
        )
        return self._sampling(gen_config).cut(text)[0].lstrip(), prompt_length, ids

    def close(self, seconds: float) -> None:
        """End the answers in progress at their next token, and wait at most `seconds` for that."""
        self.stopping.set()
        with suppress(FutureTimeoutError):
            self._own.submit(lambda: None).result(seconds)

    def generate(self, *, generation_config: Any, tokenizer: Any, input_ids: torch.Tensor, **arguments: Any) -> Any:
        """Return the ids of the prompt and the answer."""
        settings = copy.copy(generation_config)
        settings.stop_strings = None  # transformers searches for them differently from a run
        criteria = StopCriteria(
            self._sampling(generation_config),
            lambda ids: str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)),
            input_ids.shape[1],
            frozenset(settings.eos_token_id),
            generation_config,
            self.stopping,
        )
        return self.export.model.generate(
            input_ids=input_ids,
            **arguments,
            generation_config=settings,
            stopping_criteria=StoppingCriteriaList([criteria]),
        )

    def _sampling(self, settings: Any) -> Sampling:
        requested = tuple(getattr(settings, "stop_strings", None) or ())
        return replace(self.sampling, stop=(*self.sampling.stop, *requested))
