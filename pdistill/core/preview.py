"""The preview of a run, before any request is sent: counts, tokens, and the exact tokens that would be trained."""

from dataclasses import dataclass
from itertools import islice

from pdistill.core.contract.interfaces import Renderer, Resolved
from pdistill.core.contract.jsontext import Row
from pdistill.core.contract.queries import Query
from pdistill.core.contract.task import Task
from pdistill.core.estimate import estimate
from pdistill.core.money.cost import as_row
from pdistill.core.setup.config import Config
from pdistill.core.setup.inputs import read_inputs
from pdistill.core.setup.models import resolve_models
from pdistill.core.setup.plan import make_plan
from pdistill.core.stages.examples import render
from pdistill.core.stages.opening import check_same
from pdistill.core.store.rundir import RunDirectory

MAX_EXAMPLES = 2
NO_REFERENCE, REASONING = "RESPONSE", "REASONING"


@dataclass(frozen=True, slots=True)
class PreviewToken:
    """One token of a training example: its text, and whether the loss is computed on it."""

    text: str
    trained: bool


@dataclass(frozen=True, slots=True)
class PreviewExample:
    """One training example as the student would see it; as there is no answer yet, the target is the reference."""

    id: str
    target: str
    tokens: tuple[PreviewToken, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """What a run would do.

    Args:
        settings: every option as it was resolved.
        resolved: what depends on the machine, by side.
        directory: where the run would be saved.
        exists: whether it exists already.
        train: the number of queries to train on, if no answer is rejected.
        held_out: the number of held-out queries.
        prompt_teacher: mean input tokens per call with the prompt; None where only the service knows.
        prompt_student: mean input tokens per call without the prompt.
        cost: the most that each stage can cost, in the form of the report.
        examples: the first training examples.
        notes: what the user should know before the run.
    """

    settings: Row
    resolved: Resolved
    directory: str
    exists: bool
    train: int
    held_out: int
    prompt_teacher: float | None
    prompt_student: float
    cost: Row
    examples: tuple[PreviewExample, ...]
    notes: tuple[str, ...]


def preview(config: Config) -> Preview:
    """Return the preview of a run; opens no model and writes nothing.

    Raises:
        PdistillError: the run could not start.
    """
    run = RunDirectory(config.directory)
    inputs = read_inputs(config)
    specs = resolve_models(config, inputs.task)
    fingerprint = inputs.fingerprint()
    check_same(config, specs, fingerprint, run)
    planned = make_plan(config, inputs, specs, fingerprint)
    renderer, count, task = planned.student.renderer(), fingerprint.count, planned.inputs.task
    most = estimate(planned, config)
    return Preview(
        settings=planned.settings.settings_row(),
        resolved=planned.settings.resolved,
        directory=str(run.path),
        exists=run.exists,
        train=most.train,
        held_out=most.held_out,
        prompt_teacher=None if most.prompt_teacher is None else most.prompt_teacher / count,
        prompt_student=most.prompt_student / count,
        cost=as_row(most.counts, planned.prices),
        examples=tuple(_example(renderer, task, query, config) for query in islice(inputs.queries(), MAX_EXAMPLES)),
        notes=planned.notes,
    )


def _example(renderer: Renderer, task: Task, query: Query, config: Config) -> PreviewExample:
    target = query.reference if query.reference is not None else NO_REFERENCE
    if config.keep_reasoning:
        target = f"{REASONING} {config.answer_after} {target}"
    row = render(renderer, task, query, target)
    pieces = renderer.pieces([*row.ids, row.targets[-1]])
    weights = [0.0, *row.weights]
    tokens = (PreviewToken(text, weight > 0) for text, weight in zip(pieces, weights, strict=True))
    return PreviewExample(query.id, target, tuple(tokens))
