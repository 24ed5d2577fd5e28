"""The job in which a model writes queries for a prompt, round by round, until each aim has enough or is given up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pdistill.core.answers.collect import Answers, Question
from pdistill.core.contract.interfaces import Remote, Sampler, prompt_tokens
from pdistill.core.contract.jsontext import JsonObject, Row
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
from pdistill.core.writing.aims import Aim
from pdistill.core.writing.kept import Written
from pdistill.core.writing.rounds import Rounds
from pdistill.core.writing.settings import Source, WriteConfig, WritePlan, plan_writing, read_source

JOB = "queries.json"


@dataclass(frozen=True, slots=True)
class WriteEstimate:
    """The requests of a job and their cost, if every line of every answer is usable.

    Args:
        wanted: the number of queries by the name of their aim.
        questions: the requests, in order.
        tokens: of the requests, and of answers of the maximum length.
        usd: the cost of these tokens; None where it is unknown.
    """

    plan: WritePlan
    wanted: Mapping[str, int]
    questions: Sequence[Question]
    tokens: Tokens
    usd: float | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a job.

    Args:
        teacher: the model that wrote the queries.
        format: the format of the requests.
        written: the number of queries by the name of their aim.
        wanted: the number of queries that were requested, likewise.
        left_out: the number of lines that are not used, by the reason.
        answers: the number of the model's answers.
        tokens: of requests and answers.
        usd: the cost of these tokens; None where it is unknown.
    """

    teacher: str
    format: Format
    written: Mapping[str, int]
    wanted: Mapping[str, int]
    left_out: Mapping[str, int]
    answers: int
    tokens: Tokens
    usd: float | None


def estimate_writing(config: WriteConfig) -> WriteEstimate:
    """Return the requests of a job and their cost; opens no model and writes nothing.

    Raises:
        PdistillError: the job could not start.
    """
    source = read_source(config)
    _stored(config, source, RunDirectory(config.folder))
    plan = plan_writing(config, source)
    prices = _prices(plan, config.max_cost)
    rounds, renderer = Rounds(source, config.limit, plan.format, None), plan.teacher.renderer()
    questions = rounds.all_questions()
    prompt = sum(prompt_tokens(renderer, question.request.prompt) for question in questions)
    tokens = Tokens(prompt, len(questions) * plan.sampling.max_tokens)
    usd = prices.cost(tokens) if prices else None
    return WriteEstimate(plan, _by_name(rounds.written.wanted), questions, tokens, usd)


def write_queries(config: WriteConfig, progress: Progress | None = None) -> Outcome:
    """Guarantee that the output holds the queries; resumes from whatever is done already.

    Raises:
        PdistillError: what went wrong, in one line; everything done so far is saved.
    """
    run = RunDirectory(config.folder)
    source = read_source(config)
    stored = _stored(config, source, run)
    if stored and run.responses(1).complete:
        format, written = stored["format"], _read_again(source, config, run, stored)
    else:
        plan = plan_writing(config, source, stored)
        format = plan.format
        _prices(plan, config.max_cost)
        if not stored and isinstance(plan.teacher, Remote):
            plan.teacher.check_available(None)
        with run.lock():
            written = _Job(config, plan, run, progress or Silent(), new=not stored).work()
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


def _stored(config: WriteConfig, source: Source, run: RunDirectory) -> JsonObject | None:
    """Return the settings that were stored when the job started, or None where there is no answer yet.

    Raises:
        UsageError: the output exists and was not written by this job.
        RunError: the job was started with other options.
    """
    stored = run.read_json(JOB)
    if stored is None or next(run.responses(1).rows(), None) is None:
        if config.output.exists():
            raise UsageError(f"'{config.output}' exists already; use another --output")
        return None
    differing = differences(stored["asked"], source.asked)
    if differing:
        raise RunError(
            f"'{config.output}' was started with other options: {', '.join(differing)}; use another --output, or remove "
            f"'{config.folder}' to start again"
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


def _read_again(source: Source, config: WriteConfig, run: RunDirectory, stored: Row) -> Written:
    """Return the queries of a finished job."""
    rounds = Rounds(source, config.limit, stored["format"], stored["chunk"])
    run.check(run.responses(1).path)
    for _ in rounds:
        rounds.read(run)
    return rounds.written


class _Job:
    """One job in progress."""

    def __init__(
        self, config: WriteConfig, plan: WritePlan, run: RunDirectory, progress: Progress, *, new: bool
    ) -> None:
        self._config = config
        self._plan = plan
        self._run = run
        self._progress = progress
        self._new = new
        self._questions: list[Question] = []

    def work(self) -> Written:
        """Return the written queries, once there is nothing left to request; the output exists then."""
        config, plan, run = self._config, self._plan, self._run
        budget = open_budget(
            run, {"teacher": plan.model}, config.max_cost, plan.source.spec.options, self._progress, "teacher"
        )
        with plan.teacher.sampler() as sampler:
            if self._new:
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
                    raise _no_queries(rounds.written, writer.count, run)
                write_rows(config.output, rounds.written.rows, lambda part: None)
                writer.finish(run.seal)
        return rounds.written

    def _note(self, chunk: int | None) -> None:
        """Store the settings that the job starts with."""
        plan = self._plan
        resolved = {
            "format": plan.format,
            "temperature": plan.sampling.temperature,
            "max_tokens": plan.sampling.max_tokens,
            "chunk": chunk,
            "resolved": plan.model.resolved,
        }
        self._run.write_json(JOB, {"asked": dict(plan.source.asked), **resolved})

    def _ask(self, questions: Sequence[Question], sampler: Sampler, writer: AnswerWriter, budget: Budget) -> None:
        """Guarantee that each request of a round has a stored answer."""
        self._questions += questions
        numbers = [question.query.number for question in questions]
        count = sum(Key(number) in writer for number in numbers)
        if count == len(numbers):
            return
        self._progress.begin("writing", len(numbers), count, "answers")
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
        """Guarantee that the queries written so far can be read in the output's .part file."""
        output = self._config.output
        if not written.rows:
            return
        write_file(output.with_name(f"{output.name}.part"), b"".join(map(encode, written.rows)))
        self._progress.say(f"{len(written.rows):,} of {self._config.limit:,} queries so far, in {output}.part")


def _no_queries(written: Written, answers: int, run: RunDirectory) -> TaskError:
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in written.left_out.most_common())
    return TaskError(
        f"{answers:,} answers contain no usable query ({reasons or 'they are empty'}); read {run.responses(1).part}, and use "
        "another model, or --format text with some queries to continue from"
    )


def _by_name(wanted: Mapping[Aim, int]) -> dict[str, int]:
    return {aim.name: count for aim, count in wanted.items()}
