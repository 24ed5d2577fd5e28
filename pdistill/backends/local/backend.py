"""The local backend's teachers and students; each model's weights are loaded once and shared."""

import logging
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from pdistill.backends.local.export import writer
from pdistill.backends.local.export.transformers_export import TransformersExport
from pdistill.backends.local.model import adapter, machine
from pdistill.backends.local.model.loading import Source, find_model, load_model, load_tokenizer, training_defaults
from pdistill.backends.local.model.machine import Machine
from pdistill.backends.local.model.malloc import keep_freed_memory
from pdistill.backends.local.model.stop_rules import configured_end_tokens, end_tokens
from pdistill.backends.local.options import LocalOptions
from pdistill.backends.local.sampling.sampler import LocalSampler
from pdistill.backends.local.torch_engine.decoder import Decoder
from pdistill.backends.local.training.recompute import recompute_layers
from pdistill.backends.local.training.trainer import STATES_FOLDER, WEIGHTS_FOLDER, LocalTrainer
from pdistill.backends.local.vllm import engine as vllm_engine
from pdistill.backends.local.vllm.engine import CannotRunError
from pdistill.backends.local.vllm.sampler import VllmSampler
from pdistill.backends.rendering import TemplateRenderer
from pdistill.backends.template_day import RunDay
from pdistill.core.contract.exporter import ExportSpec
from pdistill.core.contract.interfaces import ADAPTER, Capability, Lora, StateURI, WeightsURI
from pdistill.core.contract.prices import FREE, Prices
from pdistill.core.contract.sampling import Sampling
from pdistill.core.errors import BackendError

keep_freed_memory()
GRAMMARS: frozenset[Capability] = frozenset({"constrain-pattern", "constrain-json"})
log = logging.getLogger("pdistill")


class LocalBackend:
    """Models on this machine."""

    def __init__(self, options: LocalOptions) -> None:
        self.default_model: str | None = None
        self.options = options
        self._machine: Machine | None = None
        self.day = RunDay()
        self._opened: dict[str, OpenedModel] = {}

    def resolve(self, stored: Mapping[str, Any] | None) -> Mapping[str, Any]:
        """Return device, dtype, threads, chunk size and versions: as they were stored, or else probed.

        Raises:
            BackendError: the device or the engine is not available.
        """
        stored = self.day.with_stored(stored)
        self._machine = machine.probe(self.options) if stored is None else machine.from_row(stored)
        machine.check_device(self._machine.device)
        machine.apply(self._machine)
        return self.day.added_to(self._machine.row())

    def prices(self, model: str) -> Prices:
        """Return prices of 0."""
        return FREE

    def teacher(self, model: str) -> "LocalTeacher":
        """Return the model as a teacher.

        Raises:
            BackendError: there is no such model.
        """
        return LocalTeacher(self._open(model))

    def student(self, model: str, directory: Path) -> "LocalStudent":
        """Return the model as a student whose URIs are relative to `directory`.

        Raises:
            BackendError: there is no such model.
        """
        return LocalStudent(self._open(model), directory)

    @property
    def resolved(self) -> Machine:
        """The resolved machine, probed if `resolve` has not been called."""
        if self._machine is None:
            self.resolve(None)
        assert self._machine is not None
        return self._machine

    def _open(self, name: str) -> "OpenedModel":
        if name not in self._opened:
            self._opened[name] = OpenedModel(self, find_model(name))
        return self._opened[name]


class OpenedModel:
    """One model, whose tokenizer and weights are loaded when they are first needed, and then kept."""

    def __init__(self, backend: LocalBackend, source: Source) -> None:
        self.backend = backend
        self.source = source
        self._renderer: TemplateRenderer | None = None
        self._base: Any = None
        self._without_vllm: CannotRunError | None = None

    def renderer(self) -> TemplateRenderer:
        """Return the model's renderer, without loading weights."""
        if self._renderer is None:
            tokenizer = load_tokenizer(self.source)
            day = self.backend.day.of(tokenizer)
            embeddings = getattr(self.source.config.get_text_config(), "vocab_size", None)
            thinking = self.backend.options.thinking
            self._renderer = TemplateRenderer(tokenizer, self.source.name, thinking, day, embeddings)
        return self._renderer

    def base(self) -> Any:
        """Return the loaded model."""
        if self._base is None:
            self._base = load_model(self.source, self.backend.resolved)
        return self._base

    def sampler(self, adapter_folder: Path | None = None, later: Path | None = None) -> "LocalSampler | VllmSampler":
        """Return a sampler of the base, or of the base with an adapter.

        Args:
            adapter_folder: the directory of the adapter; None is the base.
            later: the directory of the adapter for which a sampler will be wanted later, so that one engine serves both.

        Raises:
            BackendError: the model, or the adapter, can't be opened.
        """
        machine = self.backend.resolved
        if machine.engine == "vllm":
            try:
                return self._vllm_sampler(adapter_folder, later)
            except CannotRunError as error:
                self._fall_back(error)
        base = self.base()
        model = base if adapter_folder is None else adapter.merge(base, adapter_folder)
        decoder = Decoder(model, self.source.name)
        streams = machine.engine == "vllm"
        return LocalSampler(decoder, self.renderer(), machine.chunk, self.source.context, streams)

    def _vllm_sampler(self, adapter_folder: Path | None, later: Path | None) -> VllmSampler:
        if self._without_vllm:
            raise self._without_vllm
        folder = adapter_folder or later
        lora = None if folder is None else adapter.read_config(folder)
        engine = vllm_engine.open_engine(self.source, self.backend.resolved, self.backend.options, lora)
        ends = end_tokens(configured_end_tokens(self.source), self.renderer())
        return VllmSampler(engine, self.renderer(), ends, adapter_folder)

    def _fall_back(self, error: CannotRunError) -> None:
        """Warn once that torch takes over from vLLM.

        Raises:
            BackendError: vLLM was selected by name.
        """
        if self.backend.options.engine == "vllm":
            raise BackendError(f"vLLM can't run model '{self.source.name}': {error}; use -B engine=torch") from None
        if self._without_vllm is None:
            self._without_vllm = error
            log.warning("vLLM can't run model '%s', using torch instead: %s", self.source.name, error)


class LocalTeacher:
    """A local model that answers with the full prompt."""

    def __init__(self, opened: OpenedModel) -> None:
        self.id = opened.source.name
        self.capabilities: frozenset[Capability] = frozenset({"generate", "score", "constrain-labels"})
        if opened.backend.resolved.engine == "vllm":
            self.capabilities |= GRAMMARS
        self.context = opened.source.context
        self.opened = opened

    def renderer(self) -> TemplateRenderer:
        """Return the renderer of prompts to token ids, without loading weights."""
        return self.opened.renderer()

    @contextmanager
    def sampler(self) -> Iterator[LocalSampler | VllmSampler]:
        """Yield a sampler of the loaded model."""
        yield self.opened.sampler()


class LocalStudent:
    """A local model that is trained with LoRA."""

    def __init__(self, opened: OpenedModel, directory: Path) -> None:
        self.id = opened.source.name
        self.capabilities: frozenset[Capability] = frozenset({"generate", "score", "train-hard"})
        self.context = opened.source.context
        self.defaults = training_defaults(opened.source)
        self.opened = opened
        self.directory = directory

    def renderer(self) -> TemplateRenderer:
        """Return the renderer of prompts to token ids, without loading weights."""
        return self.opened.renderer()

    @contextmanager
    def sampler(self, weights: WeightsURI | None) -> Iterator[LocalSampler | VllmSampler]:
        """Yield a sampler of the model with an adapter's weights; None is the base."""
        if weights is not None:
            yield self.opened.sampler(self.directory / weights)
            return
        trained = self.directory / ADAPTER
        yield self.opened.sampler(later=trained if trained.is_dir() else None)

    @contextmanager
    def trainer(self, lora: Lora, resume: StateURI | None) -> Iterator[LocalTrainer]:
        """Yield a trainer that starts from scratch, or resumes from a saved state."""
        vllm_engine.close_engine()
        options = self.opened.backend.options
        torch.manual_seed(lora.seed)  # saved states must not depend on random numbers drawn in earlier stages
        student = adapter.attach(self.opened.base(), lora, options.alpha, options.targets)
        if lora.start is not None and resume is None:
            adapter.load(student, lora.start)
        if options.recompute:
            recompute_layers(student)
        yield LocalTrainer(student, self.id, self.directory, resume)

    @property
    def exact(self) -> bool:
        """Whether the run computes in float32, as exports do."""
        return self.opened.backend.resolved.dtype == "float32"

    def write_export(self, weights: WeightsURI | None, form: ExportSpec, directory: Path) -> None:
        """Write the student, or the base, to an empty directory, with its tokenizer and generation settings.

        Raises:
            BackendError: it can't be written in this form.
        """
        opened = self.opened
        folder = None if weights is None else self.directory / weights
        writer.write_export(opened.source, opened.renderer(), opened.backend.resolved, folder, form, directory)

    @contextmanager
    def read_export(self, directory: Path) -> Iterator[TransformersExport]:
        """Yield an export, loaded from its files with transformers and PEFT."""
        yield TransformersExport(directory, self.opened.backend.resolved.device)

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
        """Serve OpenAI's chat completions for the model `name` until the process is told to stop.

        Raises:
            BackendError: the server can't listen on the address, or its packages are not installed.
        """
        from pdistill.backends.local.export.serving import serve

        serve(
            TransformersExport(directory, self.opened.backend.resolved.device),
            name,
            sampling,
            host,
            port,
            ready,
            allowed,
            ignore_system=ignore_system,
        )

    def check_serving(self) -> None:
        """Guarantee that the packages for serving are installed.

        Raises:
            BackendError: they are not.
        """
        from pdistill.backends.local.export import serving  # noqa: F401 - raises where a package is missing

    def release(self, uri: StateURI | WeightsURI) -> None:
        """Delete a saved state or saved weights, if they exist; the URI of anything else is ignored."""
        kind, _, name = uri.partition("/")
        if kind in (STATES_FOLDER, WEIGHTS_FOLDER) and name == Path(name).name:
            shutil.rmtree(self.directory / uri, ignore_errors=True)
            with suppress(OSError):
                (self.directory / kind).rmdir()
