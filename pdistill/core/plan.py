"""What a run would do, settled before any model is opened: what `--dry-run` shows and what generate.json holds."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pdistill.core.config import GENERATE_KEYS, TRAIN_KEYS, Config
from pdistill.core.errors import BackendError, RunError, UsageError
from pdistill.core.interfaces import Ability, Student, Teacher
from pdistill.core.models import ROLES, Models, Role, alike, changing_rows, sides
from pdistill.core.prices import Prices
from pdistill.core.prompts import check_prompt
from pdistill.core.rows import storage_error
from pdistill.core.rundir import HASHED, RunDirectory, differences, find_run
from pdistill.core.sampling import Allowed
from pdistill.core.task import Task
from pdistill.core.version import versions
from pdistill.core.work import Work, store

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
    _require(both["teacher"].id, teacher.can, "generate")
    allowed = _allowed(task, both["teacher"].id, teacher) if config.constrain else None
    _require(both["student"].id, student.can, "generate", "train-hard")
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
        "constrain": None if allowed is None else allowed.row(),
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
    ability: Ability = f"constrain-{allowed.kind}"  # type: ignore[assignment]
    if ability not in teacher.can:
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


def keep_start(earlier: RunDirectory, run: RunDirectory) -> None:
    """Guarantee that the run holds a copy of the earlier student, to begin the training with.

    Raises:
        RunError: it can't be written.
    """
    if run.start.exists():
        return
    part = run.start.with_suffix(".part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(earlier.adapter, part)
        part.replace(run.start)
    except OSError as error:
        raise storage_error(error, run.start) from None


def _require(name: str, can: frozenset[Ability], *needed: Ability) -> None:
    for ability in needed:
        if ability not in can:
            raise BackendError(f"{name} can't {ability}, which this run needs; it can {', '.join(sorted(can))}")


def check_same(config: Config, work: Work, hashes: Mapping[str, Any], run: RunDirectory) -> None:
    """Guarantee that the run, if there is one, was made by these options from this prompt and these queries.

    Raises:
        UsageError: a backend or an option is mistyped.
        RunError: it was made otherwise; it lists the keys that differ.
    """
    sides(config, work.task)
    if not run.exists:
        return
    asked, options = run.asked(), config.asked()
    now = {key: options[key] for key in GENERATE_KEYS} | {key: hashes.get(key) for key in HASHED}
    before = {"constrain": False, **asked["options"], **asked["hashes"]}  # an older run knows no constrain
    for values in (before, now):
        values["backend_options"] = changing_rows(values["backend_options"])
    differing = differences(before, now)
    if differing:
        raise RunError(
            f"the run in '{run.path}' was made otherwise: {', '.join(differing)}; take another --run-dir, "
            f"with --from {run.path} to reuse the answers that are the same"
        )


def open_run(plan: Plan, config: Config, hashes: Mapping[str, Any], run: RunDirectory) -> dict[str, Any]:
    """Return generate.json after run.json, the copies of prompt, queries and start, and itself have been written."""
    if not run.exists:
        run.write_json(
            "run.json", {"schema": 1, "options": config.asked(), "hashes": dict(hashes), "versions": versions()}
        )
    store(plan.work, run)
    if config.warm_start:
        keep_start(earlier_student(config), run)
    stage = {"task": config.name, "settings": plan.settings, "resolved": plan.resolved}
    run.write_json("generate.json", stage)
    return stage


def check_as_begun(run: RunDirectory, config: Config) -> None:
    """Guarantee that options of the training which the run was begun with are not dropped in silence.

    Raises:
        RunError: an option is another one now.
    """
    asked, now, default = run.asked()["options"], config.asked(), Config(task="any").asked()
    begun = {key: asked[key] for key in TRAIN_KEYS if asked[key] != default[key]}
    differing = differences(begun, {key: now[key] for key in begun})
    if differing and run.read_json("train.json") is None:
        raise RunError(
            f"the run in '{run.path}' was begun otherwise: {', '.join(differing)}; give the same options, or train "
            f"with others by pdistill train {run.path}"
        )


def train_options(
    run: RunDirectory, config: Config, stage: Mapping[str, Any] | None, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the options of the training: those of before, or as the run was asked, and then what was given now.

    Raises:
        RunError: the student is trained otherwise.
    """
    asked = config.asked()
    before = stage["options"] if stage else {key: asked[key] for key in TRAIN_KEYS}
    differing = differences(before, given) if stage else []
    if differing:
        raise RunError(
            f"the student in '{run.path}' is trained otherwise: {', '.join(differing)}; "
            f"take another --run-dir, with --from {run.path} to reuse the answers"
        )
    return {**before, **given}
