"""What a run will cost at the most, before anything is sent: prompts are counted, answers are as long as they may be."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pdistill.core.contract.interfaces import TrainingDefaults, capabilities_of, prompt_tokens
from pdistill.core.contract.prices import Tokens
from pdistill.core.money.cost import Counts
from pdistill.core.numerics.schedule import plan
from pdistill.core.numerics.split import Groups, split_of
from pdistill.core.probes.asking import question_for, sampling_of, scored_tokens, text_ids
from pdistill.core.probes.questions import not_run, probe_rows
from pdistill.core.setup.config import Config
from pdistill.core.setup.plan import Plan
from pdistill.core.stages.preflight import MIN_SAMPLE, SAMPLE
from pdistill.core.store.rundir import PROBES


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


@dataclass(slots=True)
class _Prompts:
    """Tokens of queries: with the prompt for the teacher, without and with it for the student."""

    n: int = 0
    teacher: int = 0
    bare: int = 0
    prompted: int = 0

    def add(self, teacher: int, bare: int, prompted: int) -> None:
        """Count one query more."""
        self.n += 1
        self.teacher += teacher
        self.bare += bare
        self.prompted += prompted


def estimate(planned: Plan, config: Config) -> Estimate:
    """Return what the run will take at the most, if no target is longer than the answers may be."""
    settings, longest = planned.settings, planned.settings.max_tokens
    every, held_out, looked_at, training = _count(planned)
    again_as_an_arm = not settings.repeatable
    prompted_arms = 1 if not again_as_an_arm and planned.models.same_model else 2
    base_first = Tokens(looked_at.bare, looked_at.n * longest)
    again, again_first = (
        Tokens(some.teacher, some.n * longest) if asked else Tokens()
        for some, asked in ((held_out, again_as_an_arm), (looked_at, settings.temperature > 0))
    )
    probes = {arm: _probes(planned, arm) for arm in ("teacher", "base", "student")}
    counts: Counts = {
        "generate": {
            "teacher": Tokens(settings.samples * every.teacher, settings.samples * every.n * longest)
            + again_first
            + probes["teacher"],
            "student": base_first,
        },
        "train": {"student": Tokens(trained=_costliest(training, longest, planned.student.defaults, config))},
        "evaluate": {
            "teacher": again - again_first,
            "student": Tokens(
                2 * held_out.bare + prompted_arms * held_out.prompted, (2 + prompted_arms) * held_out.n * longest
            )
            - base_first
            + probes["base"]
            + probes["student"],
        },
    }
    countable = planned.teacher.renderer() is not None
    return Estimate(len(training), held_out.n, every.teacher if countable else None, every.bare, counts)


def _count(planned: Plan) -> tuple[_Prompts, _Prompts, _Prompts, "array[int]"]:
    """Return the tokens of all queries, the held-out and the looked at, and how long each is that trains, bare."""
    task, asking, renderer = planned.inputs.task, planned.teacher.renderer(), planned.student.renderer()
    every, held_out, looked_at, training = _Prompts(), _Prompts(), _Prompts(), array("i")
    for query, group in Groups(planned.inputs.queries):
        prompt = task.teacher_prompt(query)
        teacher, bare = prompt_tokens(asking, prompt), prompt_tokens(renderer, task.student_prompt(query))
        if split_of(group, planned.settings.seed) == "train":
            every.add(teacher, bare, 0)
            training.append(bare)
            continue
        prompted = teacher if planned.models.same_model else prompt_tokens(renderer, prompt)
        for some in (every, held_out) if held_out.n >= SAMPLE else (every, held_out, looked_at):
            some.add(teacher, bare, prompted)
    return every, held_out, looked_at if held_out.n >= MIN_SAMPLE else _Prompts(), training


def _probes(planned: Plan, arm: str) -> Tokens:
    """Return what an arm is asked in the probes."""
    task, student = planned.inputs.task, planned.student
    renderer = planned.teacher.renderer() if arm == "teacher" else student.renderer()
    left_out, tokens = not_run(task, student.id, capabilities_of(student)), Tokens()
    for row in probe_rows(task):
        probe = row["probe"]
        if arm not in PROBES[probe] or probe in left_out:
            continue
        question = question_for(task, row, arm)
        if probe == "retention":
            tokens += scored_tokens(renderer, question, text_ids(student.renderer(), question, row))
        else:
            longest = sampling_of(probe, arm, planned.settings).max_tokens
            tokens += Tokens(prompt_tokens(renderer, question.request.prompt), longest)
    return tokens


def _costliest(lengths: Sequence[int], longest: int, defaults: TrainingDefaults, config: Config) -> int:
    """Return the tokens of the costliest training: answers may be rejected, and fewer examples can mean more epochs.

    Args:
        lengths: of the examples without their answers.
        longest: of the answers.
    """
    given: Any = {"batch_size": config.batch_size, "epochs": config.epochs, "learning_rate": config.learning_rate}
    whole = sum(lengths) + len(lengths) * longest
    most = together = 0
    for count, length in enumerate(sorted(lengths, reverse=True), start=1):
        together += length + longest
        schedule, departs = plan(count, defaults, seed=config.seed, **given)
        most = max(most, schedule.epochs * together)
        if not departs:  # nor does it for more examples
            return max(most, schedule.epochs * whole)
    return most
