"""The first stage: the teacher answers every query with the prompt, and the answers become examples."""

from collections.abc import Callable
from functools import cache

from pdistill.core.answers.reuse import Reusable
from pdistill.core.contract.interfaces import SIDES, Teacher
from pdistill.core.errors import RunError
from pdistill.core.money.budget import Budget, Meter, open_budget
from pdistill.core.numerics.split import Groups
from pdistill.core.probes.asking import Probing, earlier_answers
from pdistill.core.progress import Progress, Silent
from pdistill.core.setup.opened_run import OpenedRun
from pdistill.core.stages.examples import write_examples
from pdistill.core.stages.preflight import Preflight, report_preflight
from pdistill.core.stages.teacher_pass import TeacherPass
from pdistill.core.store.rundir import find_run


def generate_examples(run: OpenedRun, progress: Progress, strict: bool) -> None:
    """Guarantee that responses.jsonl and examples.jsonl are complete.

    Args:
        run: the run, with the options that are given now: the run to reuse, the limit, the backend options.
        strict: whether to fail where there is nothing to distill.

    Raises:
        TaskError: there is nothing to distill, and `strict` is set.
        RunError: the run could exceed its spending limit; the answers so far are saved.
    """
    directory, settings, config = run.directory, run.settings, run.config
    models = run.models(resolved=settings.resolved)

    @cache
    def budget() -> Budget:
        return open_budget(directory, models.by_side, config.max_cost, config.backend_options, progress, *SIDES)

    earlier = find_run(str(config.from_run)) if config.from_run else None
    reuse = Reusable(earlier, settings, cache(lambda: models.teacher.teacher().renderer()))
    placed = Groups(run.queries, settings.seed, settings.held_out, run.task.stratum)
    preflight = Preflight(run, placed, strict, budget, progress)
    if preflight.due:
        # With two different models, the weights of the base must be freed before the teacher's are loaded.
        base = models if models.same_model else run.models(resolved=settings.resolved)
        preflight.ask_base(lambda: base.student.student(directory.path))
    else:
        report_preflight(directory, strict, progress)
    _collect_responses(run, models.teacher.teacher, preflight, reuse, budget, progress)
    write_examples(run, placed, models.teacher.teacher, lambda: models.student.student(directory.path))


def _collect_responses(
    run: OpenedRun,
    teacher: Callable[[], Teacher],
    preflight: Preflight,
    reuse: Reusable,
    budget: Callable[[], Budget],
    progress: Progress,
) -> None:
    """Guarantee that responses.jsonl holds the teacher's answers; opens the teacher only where it is needed."""
    rows, total = run.directory.responses(run.settings.samples), run.settings.count * run.settings.samples
    if rows.complete:
        return
    with rows.open(total) as writer, reuse:
        progress.begin("teacher", total, writer.count, "answers")
        unprobed = run.directory.unprobed("teacher")
        if preflight.due or unprobed or writer.count < total:
            opened = teacher()
            meter = Meter(budget(), "teacher", opened.renderer())
            with opened.sampler() as sampler:
                teacher_pass = TeacherPass(run, sampler, meter, writer, reuse, progress)
                if preflight.due:
                    preflight.ask_teacher(teacher_pass)
                teacher_pass.ask()
                if unprobed:
                    probing = Probing(run.task, run.directory, run.settings, Silent())
                    probing.ask("teacher", sampler, meter, earlier_answers(reuse.run))
        if writer.count < total:
            raise RunError(f"the teacher gave {writer.count} answers to {total} requests; run the same command again")
        writer.finish(run.directory.seal)
        progress.end()
        if reuse.count:
            progress.say(f"{reuse.count:,} of the answers were reused from the run of --from")
