"""The plan of a run, resolved before any model is opened: what `--dry-run` shows and generate.json stores."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pdistill.core.contract.interfaces import Capability, Side, Student, Teacher, capabilities_of
from pdistill.core.contract.prices import Prices
from pdistill.core.contract.prompts import Format, check_prompt
from pdistill.core.contract.sampling import Allowed
from pdistill.core.contract.task import Task
from pdistill.core.errors import BackendError, RunError, UsageError
from pdistill.core.numerics.split import HELD_OUT
from pdistill.core.setup.config import Config
from pdistill.core.setup.inputs import Fingerprint, RunInputs
from pdistill.core.setup.models import Models, ModelSpecs, open_models
from pdistill.core.store.rundir import RunDirectory, find_run
from pdistill.core.store.settings import GenerateSettings

CONSTRAINTS = {"labels": "labels", "pattern": "a pattern", "json": "a JSON schema"}


@dataclass(frozen=True, slots=True)
class Plan:
    """A run with every default resolved, checked for every mistake that can be found without opening a model.

    Args:
        inputs: the inputs, with the task bound to the format of the run.
        models: the models that `teacher` and `student` come from.
        prices: of their tokens, by side; None where they are unknown.
        notes: what the user should know before the run.
        characters: of all queries.
    """

    inputs: RunInputs
    models: Models
    teacher: Teacher
    student: Student
    settings: GenerateSettings
    prices: Mapping[Side, Prices | None]
    notes: tuple[str, ...]
    characters: int


def make_plan(config: Config, inputs: RunInputs, specs: ModelSpecs, fingerprint: Fingerprint) -> Plan:
    """Return the plan of a run with these inputs.

    Raises:
        UsageError: an unknown name, an invalid option or an unusable file.
        BackendError: a model, or a package that runs it, is missing; or it lacks a required capability.
    """
    models = open_models(specs)
    teacher, student = models.teacher.teacher(), models.student.student(config.directory)
    _require(models.teacher.id, capabilities_of(teacher), "generate")
    allowed = _allowed(inputs.task, models.teacher.id, teacher) if config.constrain else None
    _require(models.student.id, capabilities_of(student), "generate", "train-hard")
    if config.warm_start:
        earlier_student(config)
    task = _in_format(config.format, inputs.task, models, teacher, student)
    for prompt in task.prompts.values() or [task.prompt]:
        check_prompt(prompt, task.student_frame, task.format)
    if isinstance(config.held_out, int | float) and config.held_out >= fingerprint.count:
        raise UsageError(
            f"--held-out {config.held_out:,} leaves no query to train on: there are {fingerprint.count:,}; hold out fewer"
        )
    renderer = teacher.renderer()
    settings = GenerateSettings(
        task=config.name,
        teacher=models.teacher.id,
        student=models.student.id,
        format=task.format,
        seed=config.seed,
        held_out=config.held_out if isinstance(config.held_out, int | float) else HELD_OUT,
        count=fingerprint.count,
        samples=config.samples,
        select=config.select,
        min_confidence=config.min_confidence,
        temperature=config.temperature,
        top_p=config.top_p,
        max_tokens=config.max_tokens or task.max_tokens,
        stop=config.stop,
        stop_at_newline=task.format == "text" and not config.stop,
        constrain=allowed,
        renderer=dict(renderer.identity()) if renderer else None,
        resolved=models.resolved,
    )
    notes = []
    if task.format == "text" and task.student_frame != task.student_frame.rstrip():
        notes.append("the student's prompt ends in whitespace, after which many models answer worse; remove it")
    prices = {side: model.prices() for side, model in models.by_side.items()}
    return Plan(
        inputs=replace(inputs, task=task),
        models=models,
        teacher=teacher,
        student=student,
        settings=settings,
        prices=prices,
        notes=tuple(notes),
        characters=fingerprint.characters,
    )


def _in_format(format: Format | None, task: Task, models: Models, teacher: Teacher, student: Student) -> Task:
    """Return the task, bound to the given format, or else to chat where the student has a chat template.

    Raises:
        BackendError: the format is chat, and a model has no chat template.
    """
    renderer = student.renderer()
    task = task.bound(format=format or ("chat" if renderer.has_chat_template else "text"))
    for model, renderer_of_model in ((models.student, renderer), (models.teacher, teacher.renderer())):
        if renderer_of_model is not None and task.format == "chat" and not renderer_of_model.has_chat_template:
            raise BackendError(f"{model.id} has no chat template; use --format text, with {{query}} in the prompt file")
    return task


def _allowed(task: Task, name: str, teacher: Teacher) -> Allowed:
    """Return what the teacher's decoding is constrained to.

    Raises:
        UsageError: neither the task nor an option defines which answers are valid.
        BackendError: the teacher lacks the capability.
    """
    allowed = task.allowed()
    if allowed is None:
        raise UsageError("--constrain needs to know which answers are valid; give --labels, --pattern or --json-schema")
    if f"constrain-{allowed.kind}" not in capabilities_of(teacher):
        raise BackendError(
            f"{name} can't constrain its decoding to {CONSTRAINTS[allowed.kind]}; leave --constrain out, so that invalid "
            "answers are rejected, or use a local model with vLLM (-B engine=vllm)"
        )
    return allowed


def earlier_student(config: Config) -> RunDirectory:
    """Return the run whose student training starts from.

    Raises:
        UsageError: no run is named.
        RunError: its student is not trained yet, or its split has another seed.
    """
    if config.from_run is None:
        raise UsageError("--warm-start starts from the student of a run; name it with --from RUN")
    earlier = find_run(str(config.from_run))
    if not earlier.adapter.exists():
        raise RunError(
            f"the student in '{earlier.path}' is not trained yet; continue with pdistill train {earlier.path}"
        )
    seed = earlier.settings(GenerateSettings).seed
    if seed != config.seed:
        raise RunError(
            f"the student in '{earlier.path}' was trained with --seed {seed}, so it may have seen queries that are held out "
            f"with --seed {config.seed}; give --seed {seed}, or leave --warm-start out"
        )
    return earlier


def _require(name: str, capabilities: frozenset[Capability], *required: Capability) -> None:
    for capability in required:
        if capability not in capabilities:
            raise BackendError(
                f"{name} can't {capability}, which this run needs; it can {', '.join(sorted(capabilities))}"
            )
