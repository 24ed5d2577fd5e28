"""TuFT's sampling backend on the CPU, with transformers and PEFT in place of vLLM."""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from tinker import types
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.backends.tinker.tuft_on_cpu.decoding import StopRules, choose

MAX_TOKENS = 64
"""Of an answer, where the request sets no limit."""


@dataclass(slots=True)
class Answer:
    """An answer that is being sampled."""

    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    stopped: bool = False

    def as_sequence(self) -> Any:
        """Return it as the client's type; the client sets the id."""
        return types.SampledSequence(
            stop_reason="stop" if self.stopped else "length",
            sequence_id=None,
            _tokens_list=self.tokens,
            _logprobs_list=self.logprobs,
        )


class CpuSampler:
    """One model with its adapters; requests are answered one after the other, in one thread."""

    def __init__(self, config: Any) -> None:
        self.base_model, self.config = config.model_name, config
        path = str(config.model_path)
        self._model: Any = AutoModelForCausalLM.from_pretrained(path, dtype="auto")
        self._tokenizer: Any = AutoTokenizer.from_pretrained(path)
        self._adapted: Any = None
        self._thread = ThreadPoolExecutor(1)

    async def async_init(self) -> None:
        """Do nothing: the model is loaded."""

    async def shutdown(self) -> None:
        """End the thread."""
        self._thread.shutdown(cancel_futures=True)

    def get_openai_api_url(self) -> None:
        """Return None: only vLLM has one."""

    async def add_adapter(self, lora_id: str, adapter_path: Path) -> None:
        """Load an adapter from a folder in PEFT's format."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._load, lora_id, str(adapter_path))

    async def remove_adapter(self, lora_id: str) -> None:
        """Forget an adapter; the last one stays, because PEFT cannot do without."""
        if self._adapted is not None and lora_id in self._adapted.peft_config and len(self._adapted.peft_config) > 1:
            self._adapted.delete_adapter(lora_id)

    async def sample(
        self,
        prompt: Any,
        num_samples: int,
        sampling_params: Any,
        include_prompt_logprobs: bool = False,
        topk_prompt_logprobs: int = 0,
        lora_id: str | None = None,
    ) -> Any:
        """Return a `SampleResponse` with the answers and the log probabilities that are asked for."""
        scores = include_prompt_logprobs, topk_prompt_logprobs
        asked = prompt.to_ints(), num_samples, sampling_params, *scores, lora_id
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._sample, *asked)

    def _load(self, adapter: str, path: str) -> None:
        if self._adapted is None:
            self._adapted = PeftModel.from_pretrained(self._model, path, adapter_name=adapter)
        elif adapter not in self._adapted.peft_config:
            self._adapted.load_adapter(path, adapter_name=adapter)
        self._adapted.eval()

    @contextmanager
    def _with_adapter(self, adapter: str | None) -> Iterator[Any]:
        if adapter is not None:
            self._adapted.set_adapter(adapter)
            yield self._adapted
        elif self._adapted is not None:
            with self._adapted.disable_adapter():
                yield self._adapted
        else:
            yield self._model

    def _sample(
        self, prompt: Sequence[int], count: int, params: Any, want_logprobs: bool, topk: int, adapter: str | None
    ) -> Any:
        limit = self.config.max_model_len
        if len(prompt) + (params.max_tokens or 0) > limit:
            raise ValueError(f"prompt {len(prompt)} + max_tokens {params.max_tokens} exceeds max_model_len {limit}")
        with torch.no_grad(), self._with_adapter(adapter) as model:
            output = model(input_ids=torch.tensor([prompt]), use_cache=True)
            logits = output.logits[0].float()
            answers = self._answers(model, logits[-1], output.past_key_values, count, params)
        return types.SampleResponse(
            sequences=[answer.as_sequence() for answer in answers],
            _prompt_logprobs_list=_of_prompt(logits, prompt) if want_logprobs else None,
            _topk_prompt_logprobs_list=_top(logits, topk) if topk else None,
        )

    def _answers(self, model: Any, logits: torch.Tensor, cache: Any, count: int, params: Any) -> list[Answer]:
        """Return so many answers to a prompt, from its last logits (V,) and its keys and values."""
        answers = [Answer() for _ in range(count)]
        rules = StopRules(params.stop, self._tokenizer)
        generator = None if params.seed is None else torch.Generator().manual_seed(params.seed)
        if count > 1:
            cache.batch_repeat_interleave(count)
        rows = logits.expand(count, -1)
        for _ in range(params.max_tokens or MAX_TOKENS):
            chosen, logprobs = choose(rows, params, generator)
            for row, answer in enumerate(answers):
                if answer.stopped:
                    continue
                token = int(chosen[row])
                answer.tokens.append(token)
                answer.logprobs.append(float(logprobs[row, token]))
                answer.stopped = rules.met(answer.tokens)
            if all(answer.stopped for answer in answers):
                break
            output = model(input_ids=chosen[:, None], past_key_values=cache, use_cache=True)
            cache, rows = output.past_key_values, output.logits[:, -1].float()
        return answers


def _of_prompt(logits: torch.Tensor, prompt: Sequence[int]) -> list[float | None]:
    """Return the log probability of each token of a prompt, from its logits (T, V); the first token has none."""
    chosen = torch.log_softmax(logits[:-1], -1).gather(1, torch.tensor(prompt[1:])[:, None])[:, 0]
    return [None, *chosen.tolist()]


def _top(logits: torch.Tensor, count: int) -> list[list[tuple[int, float]] | None]:
    """Return the most likely tokens at each place of a prompt with their log probabilities; the first place has none."""
    values, ids = torch.log_softmax(logits[:-1], -1).topk(count, -1)
    return [None, *(list(zip(*place, strict=True)) for place in zip(ids.tolist(), values.tolist(), strict=True))]
