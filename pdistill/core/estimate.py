"""An upper bound on the cost of a run, before any request is sent: exact prompts, answers of the maximum length."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pdistill.core.contract.interfaces import TrainingDefaults, capabilities_of, prompt_tokens
from pdistill.core.contract.jsontext import JsonObject
from pdistill.core.contract.prices import Tokens
from pdistill.core.money.cost import Counts
from pdistill.core.numerics.schedule import plan
from pdistill.core.numerics.split import Groups
from pdistill.core.probes.asking import question_for, sampling_of, scored_tokens, text_ids
from pdistill.core.probes.proportion import probes_of
from pdistill.core.probes.questions import not_run
from pdistill.core.setup.config import Config
from pdistill.core.setup.plan import Plan
from pdistill.core.stages.preflight import MIN_SAMPLE, sample_of
from pdistill.core.store.rundir import PROBES


@dataclass(frozen=True, slots=True)
class Estimate:
    """The most that a run can take.

    Args:
        train: the number of queries to train on.
        held_out: the number of held-out queries.
        prompt_teacher: input tokens of all queries with the prompt; None where only the service can count them.
        prompt_student: input tokens of all queries without the prompt.
        counts: tokens by stage and side, with answers of the maximum length.
    """

    train: int
    held_out: int
    prompt_teacher: int | None
    prompt_student: int
    counts: Counts


@dataclass(slots=True)
class _Prompts:
    """Input tokens of `n` queries: with the prompt for the teacher, without and with it for the student."""

    n: int = 0
    teacher: int = 0
    bare: int = 0
    prompted: int = 0

    def add(self, teacher: int, bare: int, prompted: int) -> None:
        """Add one query."""
        self.n += 1
        self.teacher += teacher
        self.bare += bare
        self.prompted += prompted


def estimate(planned: Plan, config: Config) -> Estimate:
    """Return the most that the run can take, provided that no target is longer than the maximum answer."""
    settings, longest = planned.settings, planned.settings.max_tokens
    every, held_out, sample, again, training = _count(planned)
    teacher_answers_again = not settings.repeatable
    prompted_arms = 1 if not teacher_answers_again and planned.models.same_model else 2
    sampled = settings.temperature > 0
    base_preflight, base_reused = (Tokens(prompts.bare, prompts.n * longest) for prompts in (sample, again))
    teacher_arm, teacher_preflight, teacher_reused = (
        Tokens(prompts.teacher, prompts.n * longest) if needed else Tokens()
        for prompts, needed in ((held_out, teacher_answers_again), (sample, sampled), (again, sampled))
    )
    rows = probes_of(planned, config) or []
    probes = {arm: _probes(planned, rows, arm) for arm in ("teacher", "base", "student")}
    counts: Counts = {
        "generate": {
            "teacher": Tokens(settings.samples * every.teacher, settings.samples * every.n * longest)
            + teacher_preflight
            + probes["teacher"],
            "student": base_preflight,
        },
        "train": {
            "student": Tokens(trained=_most_training_tokens(training, longest, planned.student.defaults, config))
        },
        "evaluate": {
            "teacher": teacher_arm - teacher_reused,
            "student": Tokens(
                2 * held_out.bare + prompted_arms * held_out.prompted, (2 + prompted_arms) * held_out.n * longest
            )
            - base_reused
            + probes["base"]
            + probes["student"],
        },
    }
    countable = planned.teacher.renderer() is not None
    return Estimate(len(training), held_out.n, every.teacher if countable else None, every.bare, counts)


def _count(planned: Plan) -> tuple[_Prompts, _Prompts, _Prompts, _Prompts, "array[int]"]:
    """Return the input tokens of all, held-out, preflight and held-out preflight queries, and the length of each training prompt."""
    task, teacher_renderer, renderer = planned.inputs.task, planned.teacher.renderer(), planned.student.renderer()
    every, held_out, sample, again, training = _Prompts(), _Prompts(), _Prompts(), _Prompts(), array("i")
    settings = planned.settings
    groups = Groups(planned.inputs.queries, settings.seed, settings.held_out, task.stratum)
    numbers = {placed.query.number for placed in sample_of(groups)}
    for query, _, split, _ in groups:
        prompt = task.teacher_prompt(query)
        teacher, bare = prompt_tokens(teacher_renderer, prompt), prompt_tokens(renderer, task.student_prompt(query))
        prompted = teacher if planned.models.same_model else prompt_tokens(renderer, prompt)
        in_sample = len(numbers) >= MIN_SAMPLE and query.number in numbers
        kept_out = split == "eval"
        for prompts, counts in (
            (every, True),
            (held_out, kept_out),
            (sample, in_sample),
            (again, in_sample and kept_out),
        ):
            if counts:
                prompts.add(teacher, bare, prompted)
        if split == "train":
            training.append(bare)
    return every, held_out, sample, again, training


def _probes(planned: Plan, rows: Sequence[JsonObject], arm: str) -> Tokens:
    """Return the most tokens that an arm's probes take."""
    task, student = planned.inputs.task, planned.student
    renderer = planned.teacher.renderer() if arm == "teacher" else student.renderer()
    left_out, tokens = not_run(task, student.id, capabilities_of(student)), Tokens()
    for row in rows:
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


def _most_training_tokens(lengths: Sequence[int], longest: int, defaults: TrainingDefaults, config: Config) -> int:
    """Return the most tokens that training can take: answers may be rejected, and fewer examples can mean more epochs.

    Args:
        lengths: tokens of each example without its answer.
        longest: the maximum tokens of an answer.
    """
    given: Any = {"batch_size": config.batch_size, "epochs": config.epochs, "learning_rate": config.learning_rate}
    whole = sum(lengths) + len(lengths) * longest
    most = together = 0
    for count, length in enumerate(sorted(lengths, reverse=True), start=1):
        together += length + longest
        schedule, departs = plan(count, defaults, seed=config.seed, **given)
        most = max(most, schedule.epochs * together)
        if not departs:  # more examples would not depart from the defaults either
            return max(most, schedule.epochs * whole)
    return most
