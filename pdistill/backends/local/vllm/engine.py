"""vLLM in this process, which batches requests and caches prefixes itself. One engine is open at a time."""

import gc
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download

from pdistill.backends.local.model.loading import Source
from pdistill.backends.local.model.machine import Machine
from pdistill.backends.local.options import LocalOptions
from pdistill.core.contract.batches import TokenIds

CPU_KV_CACHE_BYTES = 1 << 30
"""Bytes for keys and values on a CPU."""
ADAPTER_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Maximum adapter ranks that vLLM can be started with."""
ENVIRONMENT = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "ERROR"}
CPU_ENVIRONMENT = {"TORCHDYNAMO_DISABLE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
"""Without them vLLM pins this process' threads to cores for good, and compiles for half a minute."""
FIT_CHECK_TOKENS = (1, 2)
FAILURES = (AssertionError, AttributeError, ImportError, LookupError, OSError, RuntimeError, TypeError, ValueError)


class CannotRunError(Exception):
    """vLLM can't run a model on this machine."""


class VllmEngine:
    """One open model.

    Args:
        llm: vLLM's `LLM`.
        lora: the configuration of the largest adapter that it can run; None if it was started without adapters.
    """

    def __init__(self, llm: Any, lora: Any | None) -> None:
        self._engine = llm.llm_engine
        self._lora = lora
        self.context = int(self._engine.model_config.max_model_len)
        self._adapters: dict[Path, int] = {}

    def supports(self, lora: Any | None) -> bool:
        """Return whether adapters of this configuration can be run; None stands for the base alone."""
        if lora is None or self._lora is None:
            return lora is None
        return bool(lora.r <= self._lora.r and set(lora.target_modules) <= set(self._lora.target_modules))

    def add_request(self, name: str, ids: TokenIds, adapter: Path | None, **sampling: Any) -> None:
        """Start a request with the ids of a prompt; `sampling` is passed to vLLM's SamplingParams."""
        from vllm import SamplingParams
        from vllm.lora.request import LoRARequest

        lora = None
        if adapter is not None:
            number = self._adapters.setdefault(adapter, len(self._adapters) + 1)
            lora = LoRARequest(f"adapter {number}", number, str(adapter))
        params = SamplingParams(detokenize=False, **sampling)
        self._engine.add_request(name, {"prompt_token_ids": list(ids)}, params, lora_request=lora)

    def step(self) -> Sequence[Any]:
        """Return vLLM's outputs of one step."""
        outputs: Sequence[Any] = self._engine.step()
        return outputs

    def abort(self, name: str) -> None:
        """Abort a request."""
        self._engine.abort_request([name])

    def close(self) -> None:
        """Shut vLLM down and free its memory."""
        from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

        self._engine.engine_core.shutdown()
        self._engine = None
        gc.collect()
        cleanup_dist_env_and_memory()


_engines: dict[str, VllmEngine] = {}


def open_engine(source: Source, machine: Machine, options: LocalOptions, lora: Any | None) -> VllmEngine:
    """Return the model's engine, which can run adapters of PEFT's configuration `lora`; any other engine is closed.

    Raises:
        CannotRunError: vLLM can't run the model.
    """
    engine = _engines.get(source.location)
    if engine is not None and engine.supports(lora):
        return engine
    close_engine()
    try:
        engine = _load(source, machine, options, lora)
        _check_fit(engine)
    except FAILURES as error:
        raise CannotRunError(str(error).strip().partition("\n")[0] or type(error).__name__) from error
    _engines[source.location] = engine
    return engine


def close_engine() -> None:
    """Close the open engine, if there is one, and free its memory."""
    while _engines:
        _engines.popitem()[1].close()


def _load(source: Source, machine: Machine, options: LocalOptions, lora: Any | None) -> VllmEngine:
    folder = source.folder or Path(snapshot_download(source.location, local_files_only=source.cached))
    settings = llm_arguments(machine, options, lora)
    with _environment(machine):
        from vllm import LLM

        return VllmEngine(LLM(str(folder), **settings), lora)


def llm_arguments(machine: Machine, options: LocalOptions, lora: Any | None) -> Mapping[str, Any]:
    """Return the arguments of vLLM's LLM.

    With adapters on the output layer, which are vLLM's default, a request could score no more than one token.
    """
    settings: dict[str, Any] = {
        "dtype": machine.dtype,
        "enable_prefix_caching": True,
        "max_model_len": -1,
        "generation_config": "vllm",
        "use_tqdm_on_load": False,
        "tensor_parallel_size": options.tensor_parallel,
        "pipeline_parallel_size": options.pipeline_parallel,
        "quantization": options.quantization,
    }
    if machine.device == "cpu":
        settings |= {"kv_cache_memory_bytes": CPU_KV_CACHE_BYTES, "enforce_eager": True}
    else:
        settings |= {"gpu_memory_utilization": options.memory}
    if lora is not None:
        settings |= {
            "enable_lora": True,
            "max_lora_rank": next((size for size in ADAPTER_RANKS if size >= lora.r), lora.r),
            "lora_target_modules": sorted(lora.target_modules),
        }
    return settings


@contextmanager
def _environment(machine: Machine) -> Iterator[None]:
    """Set the variables that vLLM reads at its start, and undo its changes to torch."""
    for name, value in (ENVIRONMENT | (CPU_ENVIRONMENT if machine.device == "cpu" else {})).items():
        os.environ.setdefault(name, value)
    set_num_threads = torch.set_num_threads
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_num_threads = set_num_threads
        torch.set_num_threads(machine.threads)


def _check_fit(engine: VllmEngine) -> None:
    """Run one request: some models load and then fail at the first one."""
    engine.add_request("trial", FIT_CHECK_TOKENS, None, max_tokens=1, temperature=0.0)
    while not any(output.finished for output in engine.step()):
        pass
