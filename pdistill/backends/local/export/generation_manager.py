"""Ends served answers at stop texts as a run does: the text is cut there, and nothing of a stop text is streamed."""

import asyncio
import copy
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import TimeoutError as TooLate
from contextlib import suppress
from dataclasses import replace
from typing import Any

import torch
from transformers import StoppingCriteria, StoppingCriteriaList
from transformers.cli.serving.utils import GenerateManager

from pdistill.backends.local.export.transformers_export import TransformersExport
from pdistill.backends.local.sampling.stop_text_filter import StopTextFilter
from pdistill.core.sampling import Sampling

Managers: Any = GenerateManager


class StopCriteria(StoppingCriteria):
    """Ends an answer at a stop text, and at once where it is told to; notes whether it ended by itself.

    Args:
        sampling: what ends answers.
        decode: turns the ids of an answer into its text.
        before: ids of the prompt.
        ends: the model's end tokens.
        settings: the answer's own; without a longest answer once it ended by itself, by which transformers' handler tells
            that it was not cut off.
        told: whether all answers are to end.
    """

    def __init__(
        self,
        sampling: Sampling,
        decode: Callable[[Any], str],
        before: int,
        ends: frozenset[int],
        settings: Any,
        told: threading.Event,
    ) -> None:
        self.sampling = sampling
        self.decode = decode
        self.before = before
        self.ends = ends
        self.settings = settings
        self.told = told

    def __call__(self, input_ids: torch.Tensor, scores: Any, **rest: Any) -> torch.Tensor:
        """Return for each row whether it ends here; there is one."""
        answer = input_ids[0, self.before :]
        by_text = bool(self.sampling.stop) or self.sampling.first_line
        cut = by_text and self.sampling.cut(self.decode(answer))[1]
        if cut or int(answer[-1]) in self.ends:
            self.settings.max_new_tokens = None
        return torch.full((input_ids.shape[0],), cut or self.told.is_set(), device=input_ids.device)


class FilteredQueue:
    """A queue of an answer's pieces, cut at the first stop text; what is no text is passed on."""

    def __init__(self, queue: "asyncio.Queue[Any]", cutter: StopTextFilter) -> None:
        self._queue = queue
        self._cutter = cutter
        self._ready: deque[Any] = deque()

    async def get(self) -> Any:
        """Return the next piece; None at the end."""
        while not self._ready:
            self._take(await self._queue.get())
        return self._ready.popleft()

    def get_nowait(self) -> Any:
        """Return the next piece if it is there.

        Raises:
            asyncio.QueueEmpty: it is not.
        """
        while not self._ready:
            self._take(self._queue.get_nowait())
        return self._ready.popleft()

    def _take(self, item: Any) -> None:
        if isinstance(item, str):
            shown = [self._cutter.feed(item)]
        elif item is None:
            shown = [self._cutter.rest()]
        else:
            shown = []
        self._ready.extend(piece for piece in shown if piece)
        if not isinstance(item, str):
            self._ready.append(item)


class GenerationManager:
    """Runs answers one after the other, as transformers' own does, and ends them at their stop texts.

    Args:
        export: the model.
        sampling: what ends its answers, besides what a request asks for.
    """

    def __init__(self, export: TransformersExport, sampling: Sampling) -> None:
        self._own = Managers()
        self.export = export
        self.sampling = sampling
        self.told = threading.Event()

    def generate_streaming(self, model: Any, processor: Any, inputs: Any, gen_config: Any, **rest: Any) -> Any:
        """Return the queue of an answer's pieces and their streamer."""
        queue, streamer = self._own.generate_streaming(model, processor, inputs, gen_config, **rest)
        return FilteredQueue(queue, StopTextFilter(self._sampling(gen_config))), streamer

    async def generate_non_streaming(
        self, model: Any, processor: Any, inputs: Any, gen_config: Any, **rest: Any
    ) -> Any:
        """Return an answer's text, the tokens of its prompt, and its ids."""
        text, before, ids = await self._own.generate_non_streaming(model, processor, inputs, gen_config, **rest)
        return self._sampling(gen_config).cut(text)[0], before, ids

    def close(self, seconds: float) -> None:
        """End the answers that are under way at their next token, and wait for that at most so long."""
        self.told.set()
        with suppress(TooLate):
            self._own.submit(lambda: None).result(seconds)

    def generate(self, *, generation_config: Any, tokenizer: Any, input_ids: torch.Tensor, **arguments: Any) -> Any:
        """Return the ids of prompt and answer."""
        settings = copy.copy(generation_config)
        settings.stop_strings = None  # transformers looks for them in another way than a run does
        stopping = StopCriteria(
            self._sampling(generation_config),
            lambda ids: str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)),
            input_ids.shape[1],
            frozenset(settings.eos_token_id),
            generation_config,
            self.told,
        )
        return self.export.model.generate(
            input_ids=input_ids,
            **arguments,
            generation_config=settings,
            stopping_criteria=StoppingCriteriaList([stopping]),
        )

    def _sampling(self, settings: Any) -> Sampling:
        asked = tuple(getattr(settings, "stop_strings", None) or ())
        return replace(self.sampling, stop=(*self.sampling.stop, *asked))
