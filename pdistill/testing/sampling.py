"""The contract of renderers and samplers, one function per requirement."""

import json
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager

from pdistill.core.contract.interfaces import Sampler, Scorer, Student, Teacher, TokenScores, capabilities_of
from pdistill.core.contract.prompts import Message, Messages, Text
from pdistill.core.contract.sampling import Key, Request, Sampling
from pdistill.core.errors import BackendError, ContextError
from pdistill.testing.bench import EXAMPLES, GREEDY, QUERIES, Bench, answers, bare_prompt, full_prompt

MAX_REQUESTS_AHEAD = 5_000  # no sampler may pull so many requests before its first answer
REPEATS = 100_000  # how often two words are repeated to exceed a model's context
MISSING_MODEL = "./no-such-model"


def renders_targets(bench: Bench) -> None:
    """Target ids decode to the target, and all end with the same end token."""
    renderer = bench.student().renderer()
    prompt = bare_prompt(renderer, QUERIES[0])
    ends = set()
    for target in ("animal", "plant", "two words"):
        ids = renderer.target_ids(prompt, target)
        pieces = renderer.pieces(ids)
        assert len(pieces) == len(ids), f"pieces() returns {len(pieces)} texts for {len(ids)} ids; return one per id"
        assert "".join(pieces[:-1]).strip() == target, (
            f"target_ids() of {target!r} decode to {pieces}; return the text, then one end token"
        )
        ends.add(ids[-1])
    assert len(ends) == 1, f"target_ids() end with {sorted(ends)}; always end with the same single end token"


def renders_targets_as_in_conversations(bench: Bench) -> None:
    """Target ids are those of the answer in a conversation that continues, where its ids begin with the prompt's."""
    renderer = bench.student().renderer()
    prompt = bare_prompt(renderer, QUERIES[0])
    if not isinstance(prompt, Messages):
        return
    asked = list(renderer.prompt_ids(prompt))
    for target in ("animal", "two words"):
        turns = (*prompt.messages, Message("assistant", target), Message("user", QUERIES[1]))
        whole = list(renderer.prompt_ids(Messages(turns)))
        if whole[: len(asked)] != asked:
            continue
        after, answer = whole[len(asked) :], list(renderer.target_ids(prompt, target))
        sizes = range(1, len(after) + 1)
        size = next((n for n in sizes if "".join(renderer.pieces(after[:n])).strip() == target), None)
        assert size is None or answer[:size] == after[:size], (
            f"target_ids() of {target!r} are {answer}, but in a conversation the same answer has the ids {after[:size]}; "
            "return what the chat template puts after the prompt"
        )


def renders_prompts(bench: Bench) -> None:
    """Prompt ids contain the query; the teacher's also contain the prompt, the student's do not."""
    student = bench.student().renderer()
    for query, target in EXAMPLES:
        prompt = bare_prompt(student, query)
        ids = [*student.prompt_ids(prompt), *student.target_ids(prompt, target)]
        text = "".join(student.pieces(ids))
        assert query in text, f"the student's input {text!r} lacks the query {query!r}"
        assert "Animals:animal" not in text, f"the student's input {text!r} contains the prompt"
    teacher = bench.teacher().renderer()
    if teacher is not None:
        text = "".join(teacher.pieces(teacher.prompt_ids(full_prompt(teacher, QUERIES[0]))))
        assert QUERIES[0] in text, f"the teacher's input {text!r} lacks the query"
        assert "Animals:animal" in text, f"the teacher's input {text!r} lacks the prompt"


def tells_renderers_apart(bench: Bench) -> None:
    """A renderer's identity is the same each time, and consists of strings."""
    one, two = bench.student().renderer().identity(), bench.student().renderer().identity()
    assert dict(one) == dict(two), (
        f"identity() is {one} the first time and {two} the second; use hashes that don't change"
    )
    assert one, "identity() is empty; return the hashes of vocabulary and template"
    assert all(isinstance(value, str) for value in one.values()), f"identity() is {one}; its values must be strings"


def answers_each_request_once(bench: Bench) -> None:
    """Every request gets one answer, also with several samples per query."""
    renderer = bench.teacher().renderer()
    requests = [
        Request(Key(number, sample), full_prompt(renderer, query), seed=number * 2 + sample)
        for number, query in enumerate(QUERIES)
        for sample in range(2)
    ]
    with bench.teacher().sampler() as sampler:
        keys = [key for key, _ in sampler.generate(iter(requests), GREEDY)]
    assert sorted(keys) == [request.key for request in requests], (
        f"the answers have the keys {keys}; return each request's key once"
    )


def answers_do_not_depend_on_order(bench: Bench) -> None:
    """An answer depends only on its prompt and seed, and on the chunk if the sampler has chunks."""
    renderer = bench.teacher().renderer()
    warm = Sampling(temperature=1.0, max_tokens=12)
    requests = [Request(Key(n), full_prompt(renderer, query), seed=n) for n, query in enumerate(QUERIES)]
    with bench.teacher().sampler() as sampler:
        for sampling in (GREEDY, warm):
            one = dict(sampler.generate(requests, sampling))
            two = dict(sampler.generate(requests if sampler.chunk else requests[::-1], sampling))
            differ = [key.number for key in one if one[key] != two[key]]
            assert not differ, (
                f"sampled again at temperature {sampling.temperature:g}, queries {differ} got different answers"
            )


def ends_at_stop_texts(bench: Bench) -> None:
    """The stop sequence is not part of the answer, and the answer is the same up to it."""
    renderer = bench.teacher().renderer()
    prompts = [full_prompt(renderer, query) for query in QUERIES]
    with bench.teacher().sampler() as sampler:
        whole = answers(sampler, prompts)
        number, text = next(((n, a.text) for n, a in enumerate(whole) if len(a.text.strip()) > 1), (0, ""))
        assert text, f"the answers are {[answer.text for answer in whole]}; use a teacher model with longer answers"
        stop = text.rstrip()[-1]
        cut = answers(sampler, prompts, Sampling(max_tokens=12, stop=(stop,)))[number]
    assert stop not in cut.text, (
        f"with stop {stop!r} the answer is {cut.text!r}; remove the stop sequence and what follows"
    )
    assert cut.text == text[: text.index(stop)], (
        f"with stop {stop!r} {text!r} became {cut.text!r}; keep everything before it"
    )
    assert cut.finish == "stop", f"with stop {stop!r} the answer's finish is {cut.finish!r}, not 'stop'"


def says_what_was_cut_off(bench: Bench) -> None:
    """An answer that reaches max_tokens has the finish "length", and tokens are counted."""
    renderer = bench.teacher().renderer()
    with bench.teacher().sampler() as sampler:
        prompts = [full_prompt(renderer, query) for query in QUERIES]
        for answer in answers(sampler, prompts, Sampling(max_tokens=1)):
            expected = "length" if answer.text else "stop"
            assert answer.finish == expected, (
                f"with max_tokens=1 the answer {answer.text!r} has the finish {answer.finish!r}"
            )
            assert answer.tokens <= 1, f"with max_tokens=1 the answer {answer.text!r} has {answer.tokens} tokens"
            assert answer.prompt_tokens > 0, "prompt_tokens is 0; count the prompt and the query"


def counts_tokens(bench: Bench) -> None:
    """Prompt tokens are those of the rendered prompt; answer tokens are at most max_tokens, including the end token."""
    renderer = bench.teacher().renderer()
    prompts = [full_prompt(renderer, query) for query in QUERIES]
    limit = GREEDY.max_tokens
    with bench.teacher().sampler() as sampler:
        completions = answers(sampler, prompts)
    for prompt, answer in zip(prompts, completions, strict=True):
        message = (
            f"the answer {answer.text!r} has {answer.tokens} tokens; count its end token too, at most {limit} in total"
        )
        assert 0 < answer.tokens <= limit, message
        if renderer is not None:
            expected = len(renderer.prompt_ids(prompt))
            assert answer.prompt_tokens == expected, (
                f"prompt_tokens is {answer.prompt_tokens}, but the prompt has {expected} ids"
            )


def draws_as_asked(bench: Bench) -> None:
    """At a high temperature different seeds give different answers; with a tiny top_p all give the most likely one."""
    prompt = full_prompt(bench.teacher().renderer(), QUERIES[0])
    requests = [Request(Key(number), prompt, seed=number) for number in range(16)]
    with bench.teacher().sampler() as sampler:
        (greedy,) = answers(sampler, [prompt])
        hot = {answer.text for _, answer in sampler.generate(requests, Sampling(temperature=3.0, max_tokens=12))}
        narrow = Sampling(temperature=3.0, top_p=1e-6, max_tokens=12)
        same = {answer.text for _, answer in sampler.generate(requests, narrow)}
    assert len(hot) > 1, f"16 seeds at temperature 3 all gave the answer {greedy.text!r}; use seed and temperature"
    assert same == {greedy.text}, f"with top_p=1e-6 the answers are {sorted(same)} and not {greedy.text!r}"


def holds_a_window(bench: Bench) -> None:
    """A sampler without chunks pulls requests as it answers, and can be used again after being abandoned."""
    pulled = 0

    def requests() -> Iterator[Request]:
        nonlocal pulled
        prompt = full_prompt(bench.teacher().renderer(), QUERIES[0])
        for pulled in range(1, MAX_REQUESTS_AHEAD + 1):
            yield Request(Key(pulled), prompt)

    with bench.teacher().sampler() as sampler:
        if sampler.chunk is not None:
            return
        abandoned = sampler.generate(requests(), GREEDY)
        next(abandoned)
        assert pulled < MAX_REQUESTS_AHEAD, (
            f"{pulled:,} requests were pulled before the first answer; limit the requests in flight"
        )
        if isinstance(abandoned, Generator):
            abandoned.close()
        prompts = [full_prompt(bench.teacher().renderer(), query) for query in QUERIES]
        assert len(answers(sampler, prompts)) == len(prompts), (
            "after being abandoned halfway, the sampler no longer answers"
        )


def names_what_does_not_fit(bench: Bench) -> None:
    """A request that exceeds the context raises a ContextError that names it; nothing is truncated silently."""
    renderer = bench.teacher().renderer()
    request = Request(Key(7), full_prompt(renderer, "a heron " * REPEATS))
    try:
        with bench.teacher().sampler() as sampler:
            ((_, answer),) = sampler.generate([request], GREEDY)
    except ContextError as error:
        named = error.number
    else:
        assert answer.prompt_tokens > REPEATS, (
            f"a query of {2 * REPEATS} words was sent as {answer.prompt_tokens} tokens"
        )
        return
    assert named == 7, f"the ContextError names query {named}, but number 7 is the one that does not fit"


def refuses_models_that_are_not_there(bench: Bench) -> None:
    """Opening a model that does not exist raises a BackendError that names it."""
    openers: tuple[Callable[[], AbstractContextManager[Sampler]], ...] = (
        lambda: bench.backend.teacher(MISSING_MODEL).sampler(),
        lambda: bench.backend.student(MISSING_MODEL, bench.directory).sampler(None),
    )
    for open_model in openers:
        message = "no error"
        try:
            with open_model():
                pass
        except BackendError as error:
            message = str(error)
        assert MISSING_MODEL in message, (
            f"opening the missing model {MISSING_MODEL!r} gave: {message}; raise a BackendError that names it"
        )


def resolves_once(bench: Bench) -> None:
    """Resolved settings can be stored as JSON, and stored ones are returned unchanged."""
    resolved = dict(bench.backend.resolve(None))
    stored = json.loads(json.dumps(resolved))
    again = dict(bench.backend.resolve(stored))
    assert again == stored, f"resolve() turned the stored {stored} into {again}; return the stored settings"


def scores_tokens(bench: Bench) -> None:
    """With the capability `score`: a log-probability per token and the most likely tokens at each position, also after text."""
    student = bench.student()
    models: list[tuple[Teacher | Student, AbstractContextManager[Sampler]]] = [
        (bench.teacher(), bench.teacher().sampler()),
        (student, student.sampler(None)),
    ]
    for model, opened in models:
        renderer = model.renderer()
        if "score" not in capabilities_of(model) or renderer is None:
            continue
        with opened as sampler:
            scorer: Scorer = sampler  # type: ignore[assignment]
            for prompt in (full_prompt(renderer, QUERIES[0]), Text(QUERIES[0])):
                ids = renderer.target_ids(prompt, "animal")
                ((_, scores),) = scorer.score([(Request(Key(0), prompt), ids)], 2)
                _check_scores(model.id, scores, len(ids))


def _check_scores(name: str, scores: TokenScores, count: int) -> None:
    assert len(scores.logprobs) == count, f"{name}: {len(scores.logprobs)} log-probabilities for {count} tokens"
    assert all(value <= 1e-6 for value in scores.logprobs), (
        f"{name}: some log-probabilities are above 0: {scores.logprobs}"
    )
    assert len(scores.top_ids) == count, f"{name}: most likely tokens at {len(scores.top_ids)} of {count} positions"


TEACHER_CHECKS: tuple[Callable[[Bench], None], ...] = (
    answers_each_request_once,
    answers_do_not_depend_on_order,
    ends_at_stop_texts,
    says_what_was_cut_off,
    counts_tokens,
    draws_as_asked,
    holds_a_window,
    names_what_does_not_fit,
    refuses_models_that_are_not_there,
    resolves_once,
)
CHECKS = (
    renders_targets,
    renders_targets_as_in_conversations,
    renders_prompts,
    tells_renderers_apart,
    scores_tokens,
    *TEACHER_CHECKS,
)
