"""A model writes queries for a prompt, round by round, until each aim has enough of them or gives no more."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pdistill.core.answers.answer import Answers, Question
from pdistill.core.contract.interfaces import Remote, Sampler, prompt_tokens
from pdistill.core.contract.prices import Prices, Tokens
from pdistill.core.contract.prompts import Format
from pdistill.core.contract.sampling import Key
from pdistill.core.errors import RunError, TaskError, UsageError
from pdistill.core.files import write_file
from pdistill.core.money.budget import Budget, Meter, check_limit, open_budget
from pdistill.core.money.cost import by_side, money, stored_prices, tokens_spent
from pdistill.core.progress import Progress, Silent
from pdistill.core.store.rowfile import AnswerWriter
from pdistill.core.store.rows import encode, write_rows
from pdistill.core.store.rundir import RunDirectory, differences
from pdistill.core.writing.kept import Written
from pdistill.core.writing.rounds import Rounds
from pdistill.core.writing.settings import Source, WriteConfig, WritePlan, read_source, settle_writing

JOB = "queries.json"


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a job would ask, if every line of every answer could be used.

    Args:
        wanted: queries by the name of their aim.
        questions: the requests, in order.
        tokens: of the requests, and of answers as long as they may be; usd: what these cost, None where it is unknown.
    """

    plan: WritePlan
    wanted: Mapping[str, int]
    questions: Sequence[Question]
    tokens: Tokens
    usd: float | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a job has written and asked.

    Args:
        teacher: the model that wrote; format: how it was asked.
        written: queries by the name of their aim; wanted: how many there were to be.
        left_out: lines by the reason why they are no queries.
        answers: of the model.
        tokens: of requests and answers; usd: what these cost, None where it is unknown.
    """

    teacher: str
    format: Format
    written: Mapping[str, int]
    wanted: Mapping[str, int]
    left_out: Mapping[str, int]
    answers: int
    tokens: Tokens
    usd: float | None


def foresee_writing(config: WriteConfig) -> Foreseen:
    """Return what a job would ask; opens no model and writes nothing.

    Raises:
        PdistillError: the job could not begin.
    """
    source = read_source(config)
    _stored(config, source, RunDirectory(config.folder))
    plan = settle_writing(config, source)
    prices = _prices(plan, config.max_cost)
    rounds, renderer = Rounds(source, config.limit, plan.format, None), plan.teacher.renderer()
    questions = rounds.whole()
    asked = sum(prompt_tokens(renderer, question.request.prompt) for question in questions)
    tokens = Tokens(asked, len(questions) * plan.sampling.max_tokens)
    usd = prices.cost(tokens) if prices else None
    return Foreseen(plan, _by_name(rounds.written.wanted), questions, tokens, usd)


def write_queries(config: WriteConfig, progress: Progress | None = None) -> Outcome:
    """Guarantee that the output holds the queries; goes on from whatever is there.

    Raises:
        PdistillError: what went wrong, in one line; all that was done is kept.
    """
    run = RunDirectory(config.folder)
    source = read_source(config)
    stored = _stored(config, source, run)
    if stored and run.responses(1).complete:
        format, written = stored["format"], _read_again(source, config, run, stored)
    else:
        plan = settle_writing(config, source, stored)
        format = plan.format
        _prices(plan, config.max_cost)
        if not stored and isinstance(plan.teacher, Remote):
            plan.teacher.check_available(None)
        with run.lock():
            written = _Job(config, plan, run, progress or Silent(), begins=not stored).work()
    if not config.output.exists():
        write_rows(config.output, written.rows, lambda part: None)
    tokens = by_side(tokens_spent(run))["teacher"]
    answers = sum(1 for _ in run.responses(1).rows())
    return Outcome(
        source.spec.id,
        format,
        {aim.name: len(kept) for aim, kept in written.kept.items()},
        _by_name(written.wanted),
        dict(written.left_out.most_common()),
        answers,
        tokens,
        money({"teacher": tokens}, stored_prices(run)),
    )


def _stored(config: WriteConfig, source: Source, run: RunDirectory) -> dict[str, Any] | None:
    """Return what was noted when the job began, or None where no answer is there yet.

    Raises:
        UsageError: the output is there and comes from elsewhere.
        RunError: the job was begun with other options.
    """
    stored = run.read_json(JOB)
    if stored is None or next(run.responses(1).rows(), None) is None:
        if config.output.exists():
            raise UsageError(f"'{config.output}' is there already; take another --output")
        return None
    differing = differences(stored["asked"], source.asked)
    if differing:
        raise RunError(
            f"'{config.output}' was begun with other options: {', '.join(differing)}; take another --output, or remove "
            f"'{config.folder}' to begin anew"
        )
    return stored


def _prices(plan: WritePlan, limit: float | None) -> Prices | None:
    """Return the prices of the model.

    Raises:
        UsageError: there is a limit, and they are unknown.
    """
    prices = plan.model.prices()
    check_limit({"teacher": prices}, {"teacher": plan.source.spec.id}, limit)
    return prices


def _read_again(source: Source, config: WriteConfig, run: RunDirectory, stored: Mapping[str, Any]) -> Written:
    """Return what a finished job has written."""
    rounds = Rounds(source, config.limit, stored["format"], stored["chunk"])
    run.check(run.responses(1).path)
    for _ in rounds:
        rounds.read(run)
    return rounds.written


class _Job:
    """One job while it works."""

    def __init__(
        self, config: WriteConfig, plan: WritePlan, run: RunDirectory, progress: Progress, *, begins: bool
    ) -> None:
        self._config = config
        self._plan = plan
        self._run = run
        self._progress = progress
        self._begins = begins
        self._questions: list[Question] = []

    def work(self) -> Written:
        """Return all that was written, once there is nothing left to ask; the output stands then."""
        config, plan, run = self._config, self._plan, self._run
        budget = open_budget(
            run, {"teacher": plan.model}, config.max_cost, plan.source.spec.options, self._progress, "teacher"
        )
        with plan.teacher.sampler() as sampler:
            if self._begins:
                self._note(sampler.chunk)
            rounds = Rounds(plan.source, config.limit, plan.format, sampler.chunk)
            with run.responses(1).open(rounds.size) as writer:
                for questions in rounds:
                    try:
                        self._ask(questions, sampler, writer, budget)
                    finally:
                        rounds.read(run)
                        self._keep(rounds.written)
                if not rounds.written.rows:
                    raise _nothing(rounds.written, writer.count, run)
                write_rows(config.output, rounds.written.rows, lambda part: None)
                writer.finish(run.seal)
        return rounds.written

    def _note(self, chunk: int | None) -> None:
        """Note what the job is begun with."""
        plan = self._plan
        settled = {
            "format": plan.format,
            "temperature": plan.sampling.temperature,
            "max_tokens": plan.sampling.max_tokens,
            "chunk": chunk,
            "resolved": plan.model.resolved,
        }
        self._run.write_json(JOB, {"asked": dict(plan.source.asked), **settled})

    def _ask(self, questions: Sequence[Question], sampler: Sampler, writer: AnswerWriter, budget: Budget) -> None:
        """Guarantee that each request of a round has its answer."""
        self._questions += questions
        numbers = [question.query.number for question in questions]
        there = sum(Key(number) in writer for number in numbers)
        if there == len(numbers):
            return
        self._progress.begin("writing", len(numbers), there, "answers")
        meter = Meter(budget, "teacher", self._plan.teacher.renderer())
        answers = Answers(
            lambda: self._questions,
            self._plan.sampling,
            writer,
            meter,
            self._progress,
        )
        answers.collect(sampler)
        self._progress.end()

    def _keep(self, written: Written) -> None:
        """Guarantee that the queries so far can be looked at."""
        output = self._config.output
        if not written.rows:
            return
        write_file(output.with_name(f"{output.name}.part"), b"".join(map(encode, written.rows)))
        self._progress.say(f"{len(written.rows):,} of {self._config.limit:,} queries so far, in {output}.part")


def _nothing(written: Written, answers: int, run: RunDirectory) -> TaskError:
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in written.left_out.most_common())
    return TaskError(
        f"{answers:,} answers hold no query that can be used ({reasons or 'they are empty'}); read "
        f"{run.responses(1).part}, and take another model, or --format text with some queries to go on from"
    )


def _by_name(wanted: Mapping[Any, int]) -> dict[str, int]:
    return {aim.name: count for aim, count in wanted.items()}
