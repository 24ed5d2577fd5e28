"""The first stage: the teacher answers every query under the prompt, and the answers become examples."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from pdistill.core.answers.answer import Answers, Question
from pdistill.core.answers.reuse import Reusable
from pdistill.core.contract.interfaces import Sampler, Teacher
from pdistill.core.contract.queries import Query
from pdistill.core.contract.sampling import Key, Request, request_seed
from pdistill.core.errors import RunError
from pdistill.core.money.budget import Budget, Meter
from pdistill.core.progress import Progress
from pdistill.core.setup.work import Work
from pdistill.core.store.rundir import RunDirectory
from pdistill.core.store.settings import sampling_from

First = Callable[[Sampler, Meter, Callable[[Sequence[int]], None]], None]
Last = Callable[[Sampler, Meter], None]


def ask_teacher(
    work: Work,
    teacher: Callable[[], Teacher],
    run: RunDirectory,
    settings: Mapping[str, Any],
    reuse: Reusable,
    budget: Callable[[], Budget],
    progress: Progress,
    first: First | None = None,
    last: Last | None = None,
) -> None:
    """Guarantee that responses.jsonl holds the teacher's answers.

    Args:
        teacher: makes the teacher; called only where an answer is missing, or there is something to do first or last.
        settings: what generate.json resolved: sampling, samples, seed, count.
        budget: makes the budget that answers are paid from; called like `teacher`.
        first: is done before the pass, with the teacher's sampler and a function that asks it the queries whose numbers
            are wanted.
        last: is done after the pass, with the teacher's sampler.

    Raises:
        RunError: the run could pass the limit of what it may cost; the answers that came are kept.
    """
    samples, count = settings["samples"], settings["count"]
    rows = run.responses(samples)
    if rows.complete:
        return

    def questions(wanted: Sequence[int] | None = None) -> Iterator[Question]:
        for query in work.queries() if wanted is None else picked(work, wanted):
            prompt = work.task.teacher_prompt(query)
            for sample in range(samples):
                seed = request_seed(settings["seed"], query.id, sample)
                yield Question(query, Request(Key(query.number, sample), prompt, seed))

    allowed = work.task.allowed() if settings.get("constrain") else None
    sampling = replace(sampling_from(settings), allowed=allowed)
    with rows.open(count * samples) as writer, reuse:
        progress.begin("teacher", count * samples, writer.count, "answers")
        if first is not None or last is not None or writer.count < count * samples:
            asked = teacher()
            place = lambda q: q.query.number * samples + q.request.key.sample  # noqa: E731
            meter = Meter(budget(), "teacher", asked.renderer())
            answers = Answers(questions, sampling, writer, place, reuse.find, meter, progress)
            with asked.sampler() as sampler:
                if first is not None:
                    ask = lambda wanted: replace(answers, questions=lambda: questions(wanted)).collect(sampler)  # noqa: E731
                    first(sampler, meter, ask)
                answers.collect(sampler)
                if last is not None:
                    last(sampler, meter)
        if writer.count < count * samples:
            raise RunError(
                f"the teacher gave {writer.count} answers to {count * samples} requests; run the command again"
            )
        writer.finish(run.seal)
        progress.end()
        if reuse.found:
            progress.say(f"{reuse.found:,} of the answers were taken from the run of --from")


def picked(work: Work, numbers: Sequence[int]) -> Iterator[Query]:
    """Yield the queries of these numbers, which ascend; none after the last is read."""
    among = set(numbers)
    return (query for query in islice(work.queries(), numbers[-1] + 1) if query.number in among)
