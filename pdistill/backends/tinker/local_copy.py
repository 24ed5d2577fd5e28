"""The student on this machine: whether its adapter is the model that was trained, and how it is asked without an account."""

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
"""Nats: the mean difference of a token's log-probability up to which two ways to compute one model count as the same."""
LOCAL, AUTO, NONE = "local", "auto", "none"
MAX_MEMORY_SHARE = 0.5
"""Of the memory that is free: what a model may take that nobody named."""


def check(
    remote: "TinkerStudent",
    options: TinkerOptions,
    weights: WeightsURI,
    folder: Path,
    examples: Sequence[tuple[Request, TokenIds]],
) -> str:
    """Return a line that says how the adapter in `folder` compares to the weights on the service; notes it there."""
    note = read_note(folder)
    try:
        note = _compare(remote, options, note, folder, examples)
    except PdistillError as error:
        note = replace(note, reason=str(error))
    write_note(note, folder)
    if note.checked:
        return (
            f"the adapter is home and the same model: log-probabilities of {note.examples} held-out examples differ by "
            f"{note.difference:.2g} nats a token (tolerance {note.tolerance:g})"
        )
    return f"the adapter is unchecked, so the student is asked on the service: {note.reason}"


def student(options: TinkerOptions, directory: Path) -> Student | None:
    """Return the run's student as one of this machine; None where its adapter is unchecked.

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
    """Return the note with what the comparison found.

    Raises:
        PdistillError: there is nothing to compare, or one of both models can't be asked.
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
        return replace(note, reason=f"'{base}' has another tokenizer or chat template")
    with local_student.sampler(WeightsURI(folder.name)) as here:
        mine = _score(here, examples)
    with remote.sampler(note.weights) as there:
        theirs = _score(there, examples)
    pairs = [pair for key in theirs for pair in zip(mine[key], theirs[key], strict=True)]
    difference = sum(abs(one - other) for one, other in pairs) / len(pairs)
    same = difference <= TOLERANCE
    reason = (
        None if same else f"its log-probabilities differ by {difference:.3g} nats a token (tolerance {TOLERANCE:g})"
    )
    return replace(
        note,
        checked=same,
        reason=reason,
        base=base,
        examples=len(theirs),
        prompt_tokens=sum(len(renderer.prompt_ids(request.prompt)) + len(target) for request, target in examples),
        difference=difference,
        tolerance=TOLERANCE,
    )


def _score(sampler: Sampler, examples: Sequence[tuple[Request, TokenIds]]) -> dict[Key, Sequence[float]]:
    scorer: Scorer = sampler  # type: ignore[assignment]
    return {key: scores.logprobs for key, scores in scorer.score(examples, 1)}


def _local_backend(options: TinkerOptions) -> Backend:
    """Return the local backend, which renders as this one does.

    Raises:
        BackendError: it, or a package that it needs, is not installed.
    """
    backends = installed().backends
    if LOCAL not in backends:
        raise BackendError("the local backend is not installed")
    entry = backends[LOCAL]
    thinking: dict[str, Any] = {"thinking": options.thinking}
    return entry.create(build(entry.options, thinking, f"backend {LOCAL}"))


def _base(options: TinkerOptions, model: str) -> str:
    """Return where this machine has the base model's weights.

    Raises:
        BackendError: nowhere, or they shall not be loaded.
    """
    if options.base == NONE:
        raise BackendError("-B base=none asks for no check")
    if options.base != AUTO:
        return options.base
    name = hub_name(model)
    size = _cached_size(name)
    if size is None:
        raise BackendError(f"the weights of '{name}' are not on this machine; name them with -B base=PATH")
    free = _free_memory()
    if size > MAX_MEMORY_SHARE * free:
        raise BackendError(
            f"the weights of '{name}' take {size / 1e9:.1f} GB, and {free / 1e9:.1f} GB of memory are free; to load them all "
            f"the same, name them with -B base={name}"
        )
    return name


def _cached_size(name: str) -> int | None:
    """Return the bytes of a model's weights in the hub's local cache; None where they are not there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(name, local_files_only=True, allow_patterns=["*.safetensors", "*.json"]))
    except (LocalEntryNotFoundError, HFValidationError, OSError):
        return None
    sizes = [path.stat().st_size for path in folder.glob("*.safetensors")]
    return sum(sizes) or None


def _free_memory() -> int:
    """Return the bytes of memory that are free: of the GPU where there is one."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0])
    for line in Path("/proc/meminfo").read_text().splitlines() if Path("/proc/meminfo").exists() else ():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0
