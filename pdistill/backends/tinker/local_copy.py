"""The student's copy on this machine: checks that it is the trained model, and opens it without an account."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pdistill.backends.tinker import TinkerOptions
from pdistill.backends.tinker.export import CONFIG, Note, read_note, write_note
from pdistill.backends.tinker.tokenizer import hub_name
from pdistill.core.contract.batches import TokenIds
from pdistill.core.contract.interfaces import Backend, Sampler, Scorer, Student, WeightsURI
from pdistill.core.contract.options import build
from pdistill.core.contract.plugins import installed
from pdistill.core.contract.sampling import Key, Request
from pdistill.core.errors import BackendError, PdistillError

if TYPE_CHECKING:
    from pdistill.backends.tinker.backend import TinkerStudent

TOLERANCE = 0.05
"""Largest mean difference of the log-probabilities, in nats per token, that is put down to numerical differences."""
LOCAL, AUTO, NONE = "local", "auto", "none"
MAX_MEMORY_SHARE = 0.5
"""Fraction of the free memory that the base model may take unless it is named with -B base."""


def check(
    remote: "TinkerStudent",
    options: TinkerOptions,
    weights: WeightsURI,
    folder: Path,
    examples: Sequence[tuple[Request, TokenIds]],
) -> str:
    """Compare the adapter in `folder` with the weights on the service, note the result there and return it as a line."""
    note = read_note(folder)
    try:
        note = _compare(remote, options, note, folder, examples)
    except PdistillError as error:
        note = replace(note, reason=str(error))
    write_note(note, folder)
    if note.checked:
        return (
            f"the downloaded adapter is the same model: log-probabilities of {note.examples} held-out examples differ by "
            f"{note.difference:.2g} nats per token (tolerance {note.tolerance:g})"
        )
    return f"the adapter could not be checked, so the student answers on the service: {note.reason}"


def student(options: TinkerOptions, directory: Path) -> Student | None:
    """Return the run's student on this machine; None if its adapter is unchecked.

    Raises:
        BackendError: the adapter's note is missing.
    """
    note = read_note(directory / "adapter")
    if not note.checked or note.base is None:
        return None
    return _local_backend(options).student(note.base, directory)


def _compare(
    remote: "TinkerStudent",
    options: TinkerOptions,
    note: Note,
    folder: Path,
    examples: Sequence[tuple[Request, TokenIds]],
) -> Note:
    """Return the note with the result of the comparison.

    Raises:
        PdistillError: there is nothing to compare, or one of the two models can't be opened.
    """
    if not (folder / CONFIG).is_file():
        return note
    if not examples:
        return replace(note, reason="there is no held-out example with a target")
    local = _local_backend(options)
    base = _base(options, note.model)
    local_student = local.student(base, folder.parent)
    renderer = remote.renderer()
    if dict(local_student.renderer().identity()) != dict(renderer.identity()):
        return replace(note, reason=f"'{base}' has a different tokenizer or chat template")
    with local_student.sampler(WeightsURI(folder.name)) as local_sampler:
        local_scores = _score(local_sampler, examples)
    with remote.sampler(note.weights) as remote_sampler:
        remote_scores = _score(remote_sampler, examples)
    pairs = [pair for key in remote_scores for pair in zip(local_scores[key], remote_scores[key], strict=True)]
    difference = sum(abs(one - other) for one, other in pairs) / len(pairs)
    same = difference <= TOLERANCE
    reason = (
        None if same else f"its log-probabilities differ by {difference:.3g} nats per token (tolerance {TOLERANCE:g})"
    )
    return replace(
        note,
        checked=same,
        reason=reason,
        base=base,
        examples=len(remote_scores),
        prompt_tokens=sum(len(renderer.prompt_ids(request.prompt)) + len(target) for request, target in examples),
        difference=difference,
        tolerance=TOLERANCE,
    )


def _score(sampler: Sampler, examples: Sequence[tuple[Request, TokenIds]]) -> dict[Key, Sequence[float]]:
    scorer: Scorer = sampler  # type: ignore[assignment]
    return {key: scores.logprobs for key, scores in scorer.score(examples, 1)}


def _local_backend(options: TinkerOptions) -> Backend:
    """Return the local backend, which renders prompts in the same way as this one.

    Raises:
        BackendError: the local backend, or a package that it needs, is not installed.
    """
    backends = installed().backends
    if LOCAL not in backends:
        raise BackendError("the local backend is not installed")
    entry = backends[LOCAL]
    thinking: dict[str, Any] = {"thinking": options.thinking}
    return entry.create(build(entry.options, thinking, f"backend {LOCAL}"))


def _base(options: TinkerOptions, model: str) -> str:
    """Return the directory or hub name of the base model's weights on this machine.

    Raises:
        BackendError: they are not on this machine, are too large, or must not be loaded.
    """
    if options.base == NONE:
        raise BackendError("-B base=none turns the check off")
    if options.base != AUTO:
        return options.base
    name = hub_name(model)
    size = _cached_size(name)
    if size is None:
        raise BackendError(f"the weights of '{name}' are not on this machine; name them with -B base=PATH")
    free = _free_memory()
    if size > MAX_MEMORY_SHARE * free:
        raise BackendError(
            f"the weights of '{name}' take {size / 1e9:.1f} GB, and {free / 1e9:.1f} GB of memory are free; to load them "
            f"anyway, name them with -B base={name}"
        )
    return name


def _cached_size(name: str) -> int | None:
    """Return the bytes of a model's weights in the hub's local cache; None if they are not there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(name, local_files_only=True, allow_patterns=["*.safetensors", "*.json"]))
    except (LocalEntryNotFoundError, HFValidationError, OSError):
        return None
    sizes = [path.stat().st_size for path in folder.glob("*.safetensors")]
    return sum(sizes) or None


def _free_memory() -> int:
    """Return the free memory in bytes: of the GPU if there is one."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0])
    for line in Path("/proc/meminfo").read_text().splitlines() if Path("/proc/meminfo").exists() else ():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0
