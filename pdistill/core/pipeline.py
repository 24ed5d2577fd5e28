"""The four stages of a run in order; each does only what is not done yet."""

from dataclasses import replace
from typing import Any

from pdistill.core.contract.interfaces import SIDES, Lora, Remote, Student, capabilities_of
from pdistill.core.contract.jsontext import JsonObject, OptionValues
from pdistill.core.errors import RunError, TaskError
from pdistill.core.money.budget import check_limit, open_budget
from pdistill.core.numerics.schedule import Schedule, plan
from pdistill.core.probes.questions import not_run
from pdistill.core.progress import Progress, Silent
from pdistill.core.results.reporting import report
from pdistill.core.setup.config import TRAIN_KEYS, Config
from pdistill.core.setup.inputs import read_inputs
from pdistill.core.setup.models import BackendOptions, resolve_models
from pdistill.core.setup.opened_run import reopen
from pdistill.core.setup.plan import Plan, make_plan
from pdistill.core.stages.evaluate import TOO_FEW, Arms
from pdistill.core.stages.examples import rejections, training_rows
from pdistill.core.stages.generate import generate_examples
from pdistill.core.stages.opening import begin_run, check_as_begun, check_same, train_options
from pdistill.core.stages.preflight import base_made_by, report_preflight
from pdistill.core.stages.renderable import check_student, check_teacher
from pdistill.core.stages.train import train_student
from pdistill.core.stages.training import Training
from pdistill.core.store.example import Example
from pdistill.core.store.rows import read_records
from pdistill.core.store.rundir import RunDirectory
from pdistill.core.store.settings import EvaluateSettings, GenerateSettings, TrainOptions, TrainSettings

MAX_REJECTED = 0.5
"""The fraction of rejected answers above which a run is not trained without --force."""


def run(config: Config, progress: Progress | None = None) -> JsonObject:
    """Return the report of the whole run; resumes from whatever is done already.

    Raises:
        PdistillError: what went wrong, in one line; everything done so far is saved.
    """
    directory = _generate(config, progress or Silent(), strict=not config.force)
    if not directory.adapter.exists():
        _refuse_useless(directory, config.force)
        check_as_begun(directory, config)
    now: Any = {"backend_options": config.backend_options, "max_cost": config.max_cost}
    train(directory, {key: getattr(config, key) for key in TRAIN_KEYS}, progress, **now)
    evaluate(directory, progress, **now)
    return report(directory)


def generate(config: Config, progress: Progress | None = None) -> RunDirectory:
    """Guarantee that the run directory holds the teacher's answers and the examples made from them.

    Raises:
        PdistillError: what went wrong, in one line; everything done so far is saved.
    """
    return _generate(config, progress or Silent(), strict=False)


def _generate(config: Config, progress: Progress, strict: bool) -> RunDirectory:
    directory, inputs = RunDirectory(config.directory), read_inputs(config)
    specs, fingerprint = resolve_models(config, inputs.task), inputs.fingerprint()
    check_same(config, specs, fingerprint, directory)
    new_plan = None
    if directory.stored(GenerateSettings) is None:
        new_plan = make_plan(config, inputs, specs, fingerprint)
        task, planned = new_plan.inputs.task, new_plan.settings
        check_teacher(task, inputs.queries(), new_plan.teacher, planned.constrain)
        check_student(task, inputs.queries, new_plan.student, planned.max_tokens)
        check_limit(new_plan.prices, {side: spec.id for side, spec in specs.items()}, config.max_cost)
    with directory.lock():
        if new_plan is not None:
            _check_available(new_plan, config, directory, progress)
            begin_run(new_plan, config, fingerprint, directory)
        if directory.examples.exists():
            if not directory.adapter.exists():
                report_preflight(directory, strict, progress)
            return directory
        opened = replace(reopen(directory, config.backend_options), config=config)
        with directory.timed("generate"):
            generate_examples(opened, progress, strict)
    counts = rejections(directory)
    if counts:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in counts.most_common())
        progress.say(f"{sum(counts.values()):,} of {fingerprint.count:,} answers are not used: {reasons}")
    return directory


def _check_available(new_plan: Plan, config: Config, directory: RunDirectory, progress: Progress) -> None:
    """Guarantee that the services are available; first reports what the user should know before the run."""
    for note in new_plan.notes:
        progress.say(note)
    lora = Lora(rank=config.rank, start=directory.start if config.warm_start else None)
    for model in (new_plan.teacher, new_plan.student):
        if isinstance(model, Remote):
            model.check_available(lora)


def _refuse_useless(directory: RunDirectory, force: bool) -> None:
    """Guarantee that there is enough to learn from and something to evaluate, unless `force` is set for the former."""
    counts, total = rejections(directory), directory.settings(GenerateSettings).count
    rejected = sum(counts.values())
    if not any(example.split == "eval" for example in read_records(Example, directory.examples)):
        raise TaskError(TOO_FEW)
    if rejected > MAX_REJECTED * total and not force:
        reason, times = counts.most_common(1)[0]
        raise TaskError(
            f"{rejected:,} of {total:,} answers can't be used ({times:,} {reason}), so there is little to learn from; "
            f"read {directory.path / 'responses.jsonl'} and fix the prompt, or continue with --force"
        )


def train(
    directory: RunDirectory,
    given: OptionValues,
    progress: Progress | None = None,
    *,
    backend_options: BackendOptions | None = None,
    max_cost: float | None = None,
) -> None:
    """Guarantee that the run directory holds the trained student.

    Args:
        given: training options by name; those not given are as stored, or else as the run was started with.
        backend_options: backend options that do not change any row, such as prices.
        max_cost: spending limit in USD for the whole run, across stages and restarts.

    Raises:
        PdistillError: what went wrong, in one line; everything done so far is saved.
    """
    progress = progress or Silent()
    settings = directory.settings(GenerateSettings)
    if not directory.examples.exists():
        raise RunError(f"'{directory.path}' has no examples yet; continue with pdistill generate and the same options")
    with directory.lock():
        opened = reopen(directory, backend_options)
        replace(opened.config, **given, max_cost=max_cost)  # raises a UsageError for values out of range
        stored = directory.stored(TrainSettings)
        options = train_options(opened, stored, given)
        if directory.adapter.exists():
            return
        name = stored.student if stored else options.student or settings.student
        models = opened.models(name, stored.resolved if stored else None)
        student = models.student.student(directory.path)
        start = directory.start if options.warm_start else None
        lora = Lora(rank=options.rank, seed=settings.seed, start=start)
        if stored is None and isinstance(student, Remote):
            student.check_available(lora)
        if stored is None and models.student.id != settings.student:
            check_student(opened.task, opened.queries, student, settings.max_tokens)
        budget = open_budget(directory, models.by_side, max_cost, backend_options or {}, progress, "student")
        with directory.timed("train"), training_rows(directory, opened.task, student.renderer()) as rows:
            if stored is None:
                stored = TrainSettings(
                    options=options,
                    student=models.student.id,
                    schedule=_schedule(len(rows), student, options, settings.seed, progress),
                    renderer=dict(student.renderer().identity()),
                    resolved=models.resolved,
                )
                directory.write_settings(stored)
            train_student(Training(directory, student, rows, stored.schedule, lora, budget, progress))


def _schedule(rows: int, student: Student, options: TrainOptions, seed: int, progress: Progress) -> Schedule:
    schedule, line = plan(
        rows,
        student.defaults,
        batch_size=options.batch_size,
        epochs=options.epochs,
        learning_rate=options.learning_rate,
        seed=seed,
    )
    if line:
        progress.say(line)
    return schedule


def evaluate(
    directory: RunDirectory,
    progress: Progress | None = None,
    *,
    backend_options: BackendOptions | None = None,
    max_cost: float | None = None,
) -> None:
    """Guarantee that the five arms have answered the held-out queries, and base and student the probes.

    Args:
        backend_options: backend options that do not change any row, such as prices.
        max_cost: spending limit in USD for the whole run, across stages and restarts.

    Raises:
        PdistillError: what went wrong, in one line; everything done so far is saved.
    """
    progress = progress or Silent()
    generated = directory.settings(GenerateSettings)
    if not directory.adapter.exists():
        raise RunError(
            f"the student in '{directory.path}' is not trained yet; continue with pdistill train {directory.path}"
        )
    trained = directory.settings(TrainSettings)
    with directory.lock():
        opened = reopen(directory, backend_options)
        stored = directory.stored(EvaluateSettings)
        if stored is not None and directory.evaluated:
            return
        with directory.timed("evaluate"):
            resolved = stored.resolved if stored else {**generated.resolved, **trained.resolved}
            models = opened.models(trained.student, resolved)
            if stored is None:
                capabilities = capabilities_of(models.student.student(directory.path))
                stored = EvaluateSettings(
                    same_model=models.same_model and generated.repeatable,
                    left_out=not_run(opened.task, models.student.id, capabilities),
                    resolved=resolved,
                )
                directory.write_settings(stored)
            sides = ("student",) if generated.repeatable else SIDES
            budget = open_budget(directory, models.by_side, max_cost, backend_options or {}, progress, *sides)
            made_by = base_made_by(models.student.id, resolved)
            arms = Arms(opened, stored.same_model, made_by, budget, progress)
            arms.answer(models.teacher.teacher, lambda: models.student.student(directory.path))


__all__ = ["evaluate", "generate", "report", "run", "train"]
