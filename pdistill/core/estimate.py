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
    counts: Counts = {
        "generate": {
            "teacher": Tokens(settings["samples"] * with_prompt, settings["samples"] * len(prompts) * longest)
            + again_first,
            "student": base_first,
        },
        "train": {"student": Tokens(trained=_costliest(training, planned.student.defaults, config))},
        "evaluate": {
            "teacher": again - again_first,
            "student": Tokens(
                sum(2 * each.bare + prompted_arms * each.prompted for each in held_out),
                (2 + prompted_arms) * len(held_out) * longest,
            )
            - base_first,
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
