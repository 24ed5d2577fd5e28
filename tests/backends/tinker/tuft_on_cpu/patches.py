"""Changes to TuFT 0.2.2 in memory, so that it runs without Ray, vLLM and a GPU, and with the types of tinker 0.38."""

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
import torch

NOT_REPORTED = -99999.0
"""The log probability of an empty cell, by the protocol's definition."""


@dataclass(frozen=True, slots=True)
class RemoteMethod:
    """A method of an actor, called as Ray calls one: `method.remote(...)`."""

    method: Callable[..., Coroutine[Any, Any, Any]]
    loop: asyncio.AbstractEventLoop

    def remote(self, *args: Any, **kwargs: Any) -> asyncio.Future[Any]:
        """Return the future of a call in the actor's thread."""
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self.method(*args, **kwargs), self.loop))


class Actor:
    """An object in a thread with an event loop of its own, in place of a Ray actor."""

    def __init__(self, make: Callable[[], object]) -> None:
        async def made() -> object:
            return make()

        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._object = asyncio.run_coroutine_threadsafe(made(), self._loop).result()

    def __getattr__(self, name: str) -> RemoteMethod:
        return RemoteMethod(getattr(self._object, name), self._loop)


def patch_tuft() -> None:
    """Patch TuFT. Call this before anything imports one of its modules."""
    _replace_ray()
    # Asks for a GPU, unlike the other functions of torch.cuda that TuFT calls.
    vars(torch.cuda)["reset_peak_memory_stats"] = lambda device=None: None
    _replace_vllm()
    _accept_soft_targets()
    _rename_fields()


def _replace_ray() -> None:
    ray, actor = ModuleType("ray"), ModuleType("ray.actor")
    vars(actor)["ActorProxy"] = Actor
    vars(ray).update(actor=actor, kill=lambda killed, no_restart: None)
    sys.modules.update({"ray": ray, "ray.actor": actor})
    from tuft.backends.hf_training_model import HFTrainingModel

    HFTrainingModel.get_actor = classmethod(lambda cls, config: Actor(lambda: cls(config)))


def _replace_vllm() -> None:
    from tuft.backends.base_backend import BaseSamplingBackend

    from tests.backends.tinker.tuft_on_cpu.sampler import CpuSampler

    BaseSamplingBackend.create_backend = classmethod(lambda cls, config, worker_venv_path=None: CpuSampler(config))


def _accept_soft_targets() -> None:
    """Let targets have the shape (B, T, K) too."""
    from tuft.backends.hf_training_model import HFTrainingModel

    hard = HFTrainingModel._compute_logprobs_from_target_tokens

    def logprobs(model: Any, logits: torch.Tensor, targets: torch.Tensor) -> Any:
        if targets.dim() == 3:
            return torch.log_softmax(logits.float(), -1).gather(-1, targets)
        return hard(model, logits, targets)

    HFTrainingModel._compute_logprobs_from_target_tokens = logprobs


def _rename_fields() -> None:
    """Give two fields their names of before tinker 0.38: the optimizer's parameters, and the length of top-k matrices."""
    import tuft.compat
    from tinker import types
    from tinker.proto.tinker_public_pb2 import SampleResponse

    types.OptimStepRequest.adam_params = property(lambda request: request.optim_params)
    without_topk = tuft.compat.serialize_sample_response_proto

    def serialized(response: Any) -> Any:
        topk = response.topk_prompt_logprobs
        body = without_topk(replace(response, topk_prompt_logprobs_np=None, _topk_prompt_logprobs_list=None))
        if not topk:
            return body
        message = SampleResponse.FromString(body)
        count = max(len(position or ()) for position in topk)
        ids = np.zeros((len(topk), count), np.int32)
        logprobs = np.full((len(topk), count), NOT_REPORTED, np.float32)
        for place, position in enumerate(topk):
            for rank, (token, logprob) in enumerate(position or ()):
                ids[place, rank], logprobs[place, rank] = token, logprob
        matrices = message.topk_prompt_logprobs
        matrices.token_ids, matrices.logprobs = ids.tobytes(), logprobs.tobytes()
        matrices.k, matrices.length = count, len(topk)
        return message.SerializeToString()

    tuft.compat.serialize_sample_response_proto = serialized
