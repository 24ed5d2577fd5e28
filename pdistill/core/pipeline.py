"""The four stages one after the other: what is there is kept, what is missing is done."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from pdistill.core.answers.reuse import Reusable
from pdistill.core.contract.interfaces import Lora, Remote, Student, capabilities_of
from pdistill.core.errors import RunError, TaskError
from pdistill.core.money.budget import Budget, check_limit, open_budget
from pdistill.core.numerics.schedule import Schedule, plan
from pdistill.core.numerics.split import Groups
from pdistill.core.probes.asking import probing_teacher
from pdistill.core.probes.questions import not_run
from pdistill.core.progress import Progress, Silent
from pdistill.core.results.reporting import report
from pdistill.core.setup.config import TRAIN_KEYS, Config
from pdistill.core.setup.models import ROLES, Models, alike, sides, with_options
from pdistill.core.setup.plan import settle
from pdistill.core.setup.work import work_from, work_of
from pdistill.core.stages.evaluate import TOO_FEW, Arms
from pdistill.core.stages.examples import rejections, training_rows, write_examples
from pdistill.core.stages.generate import ask_teacher
from pdistill.core.stages.opening import check_as_begun, check_same, open_run, train_options
from pdistill.core.stages.preflight import Preflight, base_made_by, heed
from pdistill.core.stages.train import train_student
from pdistill.core.stages.training import Training
from pdistill.core.store.rows import read_rows
from pdistill.core.store.rundir import RunDirectory, find_run
from pdistill.core.store.settings import sampling_from, says_the_same_again

MOSTLY = 0.5


def run(config: Config, progress: Progress | None = None) -> dict[str, Any]:
    """Return the report of the whole job; goes on from whatever is there.

    Raises:
        PdistillError: what went wrong, in one line; all that was done is kept.
    """
    directory = _generated(config, progress or Silent(), strict=not config.force)
    if not directory.adapter.exists():
        _refuse_useless(directory, config.force)
        check_as_begun(directory, config)
    now: Any = {"backend_options": config.backend_options, "max_cost": config.max_cost}
    train(directory, {key: getattr(config, key) for key in TRAIN_KEYS}, progress, **now)
    evaluate(directory, progress, **now)
    return report(directory)


def generate(config: Config, progress: Progress | None = None) -> RunDirectory:
    """Guarantee that the run directory holds the teacher's answers and the examples made of them.

    Raises:
        PdistillError: what went wrong, in one line; all that was done is kept.
    """
    return _generated(config, progress or Silent(), strict=False)


def _generated(config: Config, progress: Progress, strict: bool) -> RunDirectory:
    directory = RunDirectory(config.directory)
    work = work_from(config)
    hashes = work.hashes()
    check_same(config, work, hashes, directory)
    stage = directory.read_json("generate.json")
    planned = settle(config, work, hashes["count"]) if stage is None else None
    if planned is not None:
        check_limit(planned.prices, {role: planned.settings[role] for role in ROLES}, config.max_cost)
    with directory.lock():
        if planned is not None:
            for note in planned.notes:
                progress.say(note)
            for model in (planned.teacher, planned.student):
                if isinstance(model, Remote):
                    model.check_available(Lora(rank=config.rank, start=directory.start if config.warm_start else None))
            stage = open_run(planned, config, hashes, directory)
        if directory.examples.exists():
            if not directory.adapter.exists():
                heed(directory, strict, progress)
            return directory
        with directory.timed("generate"):
            _generate(directory, directory.stage("generate"), config, progress, strict)
    counts = rejections(directory)
    if counts:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in counts.most_common())
        progress.say(f"{sum(counts.values()):,} of {hashes['count']:,} answers are not used: {reasons}")
    return directory


def _generate(
    directory: RunDirectory, stage: Mapping[str, Any], config: Config, progress: Progress, strict: bool
) -> None:
    settings = stage["settings"]
    _, work = work_of(directory, settings["format"])
    both = sides(replace(config, teacher=settings["teacher"], student=settings["student"]), work.task)
    models = Models(both, stage["resolved"])

    @cache
    def budget() -> Budget:
        return open_budget(directory, models, config.max_cost, config.backend_options, progress, *ROLES)

    reuse = Reusable(find_run(str(config.from_run)) if config.from_run else None, settings)
    groups, sampling = Groups(work.queries), sampling_from(settings)
    made_by = base_made_by(settings["student"], stage["resolved"])
    preflight = Preflight(work, directory, settings, groups, made_by, strict, budget, progress)
    first = None
    if preflight.due:
        same = both["teacher"] == both["student"]  # else the base's weights shall go before the teacher's come
        base = lambda: (models if same else Models(both, stage["resolved"])).student(directory.path)  # noqa: E731
        preflight.ask_base(base, sampling)
        first = lambda sampler, meter, collect: preflight.look(sampler, meter, sampling, collect)  # noqa: E731
    else:
        heed(directory, strict, progress)
    last = probing_teacher(work.task, directory, settings, reuse.run)
    ask_teacher(work, models.teacher, directory, settings, reuse, budget, progress, first, last)
    write_examples(work, directory, settings, groups)


def _refuse_useless(directory: RunDirectory, force: bool) -> None:
    """Refuse to train on what can't teach or can't be evaluated."""
    counts, total = rejections(directory), directory.stage("generate")["settings"]["count"]
    rejected = sum(counts.values())
    if not any(row["split"] == "eval" for row in read_rows(directory.examples)):
        raise TaskError(TOO_FEW)
    if rejected > MOSTLY * total and not force:
        reason, times = counts.most_common(1)[0]
        raise TaskError(
            f"{rejected:,} of {total:,} answers can't be used ({times:,} {reason}), so there is little to learn from; "
            f"read {directory.path / 'responses.jsonl'} and mend the prompt, or go on with --force"
        )


def train(
    directory: RunDirectory,
    given: Mapping[str, Any],
    progress: Progress | None = None,
    *,
    backend_options: Mapping[str, Any] | None = None,
    max_cost: float | None = None,
) -> None:
    """Guarantee that the run directory holds the trained student.

    Args:
        given: options of TRAIN_KEYS; one that is missing is as it was, or as the run was asked.
        backend_options: options of the backends that change no row, such as prices.
        max_cost: USD that the run must not pass, with all its stages and interruptions.

    Raises:
        PdistillError: what went wrong, in one line; all that was done is kept.
    """
    progress = progress or Silent()
    settings = directory.stage("generate")["settings"]
    if not directory.examples.exists():
        raise RunError(
            f"'{directory.path}' has no examples yet; go on with pdistill generate, by the options of before"
        )
    with directory.lock():
        config, work = work_of(directory, settings["format"])
        replace(config, **given, max_cost=max_cost)  # refuses what is out of range
        config = with_options(config, backend_options or {}, work.task)
        stage = directory.read_json("train.json")
        options = train_options(directory, config, stage, given)
        if directory.adapter.exists():
            return
        model = stage["settings"]["student"] if stage else options["student"] or settings["student"]
        both = sides(replace(config, teacher=settings["teacher"], student=model), work.task)
        models = Models(both, stage["resolved"] if stage else None)
        student = models.student(directory.path)
        start = directory.start if options["warm_start"] else None
        lora = Lora(rank=options["rank"], seed=config.seed, start=start)
        if stage is None and isinstance(student, Remote):
            student.check_available(lora)
        budget = open_budget(directory, models, max_cost, backend_options or {}, progress, "student")
        with directory.timed("train"), training_rows(directory, work.task, student.renderer()) as rows:
            if stage is None:
                schedule = _schedule(len(rows), student, options, config.seed, progress)
                details = {
                    "student": both["student"].id,
                    "schedule": schedule.as_row(),
                    "renderer": dict(student.renderer().identity()),
                }
                stage = {"options": options, "settings": details, "resolved": models.resolved}
                directory.write_json("train.json", stage)
            schedule = Schedule.from_row(stage["settings"]["schedule"])
            train_student(Training(directory, student, rows, schedule, lora, budget, progress))


def _schedule(rows: int, student: Student, options: Mapping[str, Any], seed: int, progress: Progress) -> Schedule:
    given = {key: options[key] for key in ("batch_size", "epochs", "learning_rate")}
    schedule, line = plan(rows, student.defaults, seed=seed, **given)
    if line:
        progress.say(line)
    return schedule


def evaluate(
    directory: RunDirectory,
    progress: Progress | None = None,
    *,
    backend_options: Mapping[str, Any] | None = None,
    max_cost: float | None = None,
) -> None:
    """Guarantee that the five arms have answered the held-out queries, and base and student the probes.

    Args:
        backend_options: options of the backends that change no row, such as prices.
        max_cost: USD that the run must not pass, with all its stages and interruptions.

    Raises:
        PdistillError: what went wrong, in one line; all that was done is kept.
    """
    progress = progress or Silent()
    generated = directory.stage("generate")
    if not directory.adapter.exists():
        raise RunError(
            f"the student in '{directory.path}' is not trained yet; go on with pdistill train {directory.path}"
        )
    trained, settings = directory.stage("train"), generated["settings"]
    with directory.lock():
        config, work = work_of(directory, settings["format"])
        config = replace(config, teacher=settings["teacher"], student=trained["settings"]["student"], max_cost=max_cost)
        both = sides(with_options(config, backend_options or {}, work.task), work.task)
        stage = directory.read_json("evaluate.json")
        if stage is not None and directory.evaluated:
            return
        with directory.timed("evaluate"):
            stored = stage["resolved"] if stage else {**generated["resolved"], **trained["resolved"]}
            models = Models(both, stored)
            if stage is None:
                same = alike(both) and says_the_same_again(settings)
                left_out = not_run(work.task, both["student"].id, capabilities_of(models.student(directory.path)))
                stage = {"settings": {"alike": same, "left_out": left_out}, "resolved": stored}
                directory.write_json("evaluate.json", stage)
            asked = ("student",) if says_the_same_again(settings) else ROLES
            budget = open_budget(directory, models, max_cost, backend_options or {}, progress, *asked)
            made_by = base_made_by(both["student"].id, stored)
            Arms(work, directory, settings, stage["settings"]["alike"], made_by, budget, progress).answer(
                models.teacher, lambda: models.student(directory.path)
            )
