"""What a run will cost at the most, before anything is sent: prompts are counted, answers are as long as they may be."""

from collections.abc import Sequence
from dataclasses import dataclass

from pdistill.core.config import Config
from pdistill.core.cost import Counts, prompt_tokens
from pdistill.core.generate import says_the_same_again
from pdistill.core.interfaces import TrainingDefaults
from pdistill.core.plan import Plan
from pdistill.core.preflight import LEAST, WANTED
from pdistill.core.prices import Tokens
from pdistill.core.probes.asking import asked, sampling_of, scored_tokens, text_ids
from pdistill.core.probes.questions import not_run, probe_rows
from pdistill.core.rundir import PROBES
from pdistill.core.schedule import plan
from pdistill.core.split import groups, part_of


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run will take at the most.

    Args:
        train: queries that train the student.
        held_out: queries that it is evaluated on.
        prompt_teacher: tokens of all queries with the prompt; None where only the service can count them.
        prompt_student: tokens of all queries without it.
        counts: prompts as they are counted, answers as long as they may be.
    """

    train: int
    held_out: int
    prompt_teacher: int | None
    prompt_student: int
    counts: Counts


@dataclass(frozen=True, slots=True)
class _Prompts:
    """Tokens of one query: with the prompt for the teacher, without and with it for the student."""

    teacher: int
    bare: int
    prompted: int
    held_out: bool


def estimate(planned: Plan, config: Config) -> Estimate:
    """Return what the run will take at the most, if no target is longer than the answers may be."""
    settings, longest = planned.settings, planned.settings["max_tokens"]
    prompts = _count(planned)
    held_out = [each for each in prompts if each.held_out]
    training = [each.bare + longest for each in prompts if not each.held_out]
    with_prompt = sum(each.teacher for each in prompts)
    again_as_an_arm = not says_the_same_again(settings)
    prompted_arms = 1 if not again_as_an_arm and planned.alike else 2
    looked_at = held_out[:WANTED] if len(held_out) >= LEAST else []
    base_first = Tokens(sum(each.bare for each in looked_at), len(looked_at) * longest)
    again, again_first = (
        Tokens(sum(each.teacher for each in some), len(some) * longest) if asked else Tokens()
        for some, asked in ((held_out, again_as_an_arm), (looked_at, settings["temperature"] > 0))
    )
    probes = {arm: _probes(planned, arm) for arm in ("teacher", "base", "student")}
    counts: Counts = {
        "generate": {
            "teacher": Tokens(settings["samples"] * with_prompt, settings["samples"] * len(prompts) * longest)
            + again_first
            + probes["teacher"],
            "student": base_first,
        },
        "train": {"student": Tokens(trained=_costliest(training, planned.student.defaults, config))},
        "evaluate": {
            "teacher": again - again_first,
            "student": Tokens(
                sum(2 * each.bare + prompted_arms * each.prompted for each in held_out),
                (2 + prompted_arms) * len(held_out) * longest,
            )
            - base_first
            + probes["base"]
            + probes["student"],
        },
    }
    countable = planned.teacher.renderer() is not None
    return Estimate(
        len(training), len(held_out), with_prompt if countable else None, sum(each.bare for each in prompts), counts
    )


def _count(planned: Plan) -> list[_Prompts]:
    task, asking, renderer = planned.work.task, planned.teacher.renderer(), planned.student.renderer()
    counted = []
    for query, group in zip(planned.work.queries(), groups(planned.work.queries), strict=True):
        prompt, held_out = task.teacher_prompt(query), part_of(group, planned.settings["seed"]) == "eval"
        teacher = prompt_tokens(asking, prompt)
        prompted = prompt_tokens(renderer, prompt) if held_out and not planned.alike else teacher
        counted.append(_Prompts(teacher, prompt_tokens(renderer, task.student_prompt(query)), prompted, held_out))
    return counted


def _probes(planned: Plan, arm: str) -> Tokens:
    """Return what an arm is asked in the probes."""
    task, student = planned.work.task, planned.student
    renderer = planned.teacher.renderer() if arm == "teacher" else student.renderer()
    left_out, tokens = not_run(task, student.id, student.can), Tokens()
    for row in probe_rows(task):
        probe = row["probe"]
        if arm not in PROBES[probe] or probe in left_out:
            continue
        question = asked(task, row, arm)
        if probe == "retention":
            tokens += scored_tokens(renderer, question, text_ids(student.renderer(), question, row))
        else:
            longest = sampling_of(probe, arm, planned.settings).max_tokens
            tokens += Tokens(prompt_tokens(renderer, question.request.prompt), longest)
    return tokens


def _costliest(lengths: Sequence[int], defaults: TrainingDefaults, config: Config) -> int:
    """Return the tokens of the costliest training: answers may be rejected, and fewer examples can mean more epochs."""
    most = together = 0
    for count, length in enumerate(sorted(lengths, reverse=True), start=1):
        together += length
        schedule, _ = plan(
            count,
            defaults,
            batch_size=config.batch_size,
            epochs=config.epochs,
            learning_rate=config.learning_rate,
            seed=config.seed,
        )
        most = max(most, schedule.epochs * together)
    return most
