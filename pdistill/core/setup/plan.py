"""What a run would do, settled before any model is opened: what `--dry-run` shows and what generate.json holds."""

from dataclasses import dataclass
from typing import Any

from pdistill.core.contract.interfaces import Capability, Student, Teacher, capabilities_of
from pdistill.core.contract.prices import Prices
from pdistill.core.contract.prompts import check_prompt
from pdistill.core.contract.sampling import Allowed
from pdistill.core.contract.task import Task
from pdistill.core.errors import BackendError, RunError, UsageError
from pdistill.core.setup.config import Config
from pdistill.core.setup.models import ROLES, Models, Role, alike, sides
from pdistill.core.setup.work import Work
from pdistill.core.store.rundir import RunDirectory, find_run

WORDS = {"labels": "labels", "pattern": "a pattern", "json": "a JSON schema"}


@dataclass(frozen=True, slots=True)
class Plan:
    """A run with every default settled and every mistake found that needs no model."""

    work: Work
    teacher: Teacher
    student: Student
    settings: dict[str, Any]
    resolved: dict[str, Any]
    prices: dict[Role, Prices | None]
    alike: bool
    notes: tuple[str, ...]


def settle(config: Config, work: Work, count: int) -> Plan:
    """Return the plan for `count` queries; sets the format of the work's task.

    Raises:
        UsageError: an unknown name, an option or a file that can't be used.
        BackendError: a model, or what runs it, is missing; or it can't do what is asked of it.
    """
    task = work.task
    both = sides(config, task)
    models = Models(both)
    teacher, student = models.teacher(), models.student(config.directory)
    _require(both["teacher"].id, capabilities_of(teacher), "generate")
    allowed = _allowed(task, both["teacher"].id, teacher) if config.constrain else None
    _require(both["student"].id, capabilities_of(student), "generate", "train-hard")
    if config.warm_start:
        earlier_student(config)
    renderer = student.renderer()
    task.format = config.format or ("chat" if renderer.has_chat_template else "text")
    asking = teacher.renderer()
    for side, name in ((renderer, both["student"].id), (asking, both["teacher"].id)):
        if side is not None and task.format == "chat" and not side.has_chat_template:
            raise BackendError(f"{name} has no chat template; take --format text, with {{query}} in the prompt file")
    for prompt in task.prompts.values() or [task.prompt]:
        check_prompt(prompt, task.student_frame, task.format)
    settings = {
        "teacher": both["teacher"].id,
        "student": both["student"].id,
        "format": task.format,
        "seed": config.seed,
        "count": count,
        "samples": config.samples,
        "select": config.select,
        "min_confidence": config.min_confidence,
        "temperature": config.temperature,
        "top_p": config.top_p,
        "max_tokens": config.max_tokens or task.max_tokens,
        "stop": list(config.stop),
        "first_line": task.format == "text" and not config.stop,
        "constrain": None if allowed is None else allowed.as_row(),
        "renderer": dict(asking.identity()) if asking else None,
    }
    notes = []
    if task.format == "text" and task.student_frame != task.student_frame.rstrip():
        notes.append("the student's prompt ends in white space: many models answer worse after it; leave it out")
    prices = {role: models.prices(role) for role in ROLES}
    return Plan(work, teacher, student, settings, models.resolved, prices, alike(both), tuple(notes))


def _allowed(task: Task, name: str, teacher: Teacher) -> Allowed:
    """Return what the teacher's decoding has to keep to.

    Raises:
        UsageError: nobody says which answers are valid.
        BackendError: the teacher can't.
    """
    allowed = task.allowed()
    if allowed is None:
        raise UsageError("--constrain needs to know which answers are valid; give --labels, --pattern or --json-schema")
    ability: Capability = f"constrain-{allowed.kind}"  # type: ignore[assignment]
    if ability not in capabilities_of(teacher):
        raise BackendError(
            f"{name} can't keep its decoding to {WORDS[allowed.kind]}; leave --constrain out, and answers that are not "
            "valid are rejected, or take a local model by vLLM (-B engine=vllm)"
        )
    return allowed


def earlier_student(config: Config) -> RunDirectory:
    """Return the run whose student the training begins with.

    Raises:
        UsageError: no run is named.
        RunError: it has no student yet, or was split by another seed.
    """
    if config.from_run is None:
        raise UsageError("--warm-start begins with the student of a run; name it by --from RUN")
    earlier = find_run(str(config.from_run))
    if not earlier.adapter.exists():
        raise RunError(f"the student in '{earlier.path}' is not trained yet; go on with pdistill train {earlier.path}")
    seed = earlier.stage("generate")["settings"]["seed"]
    if seed != config.seed:
        raise RunError(
            f"the student in '{earlier.path}' was trained with --seed {seed}, so it may have seen queries that are held out "
            f"with --seed {config.seed}; give --seed {seed}, or leave --warm-start out"
        )
    return earlier


def _require(name: str, capabilities: frozenset[Capability], *needed: Capability) -> None:
    for ability in needed:
        if ability not in capabilities:
            raise BackendError(
                f"{name} can't {ability}, which this run needs; it can {', '.join(sorted(capabilities))}"
            )
