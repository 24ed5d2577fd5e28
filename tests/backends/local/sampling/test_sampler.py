"""Answers in batches after a shared prefix are those that transformers gives one by one."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from pdistill.backends.local.backend import LocalBackend, LocalTeacher
from pdistill.backends.local.options import LocalOptions
from pdistill.backends.local.sampling.sampler import (
    GROUP_PREFIX_TOKENS,
    MIN_GROUP_PROMPTS,
    LocalSampler,
    group_by_prefix,
)
from pdistill.backends.local.sampling.token_sampler import TokenSampler
from pdistill.backends.local.torch_engine import native_model
from pdistill.backends.local.torch_engine.cascade import CascadeEngine
from pdistill.core.contract.batches import TokenIds
from pdistill.core.contract.interfaces import Streamer
from pdistill.core.contract.prompts import Format, framed, teacher_prompt
from pdistill.core.contract.sampling import Allowed, Completion, Key, Request, Sampling
from pdistill.core.errors import BackendError, ContextError
from tests.backends.tiny_models import make

FAMILIES = ("llama", "qwen2", "qwen3", "mistral", "gemma3", "gpt2", "bloom")
GROUPED = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}
PROMPT = "You are a careful clerk. Name the language of the text: {query}"
QUERIES = ("The river is wide today", "Hola", "Der Fluss ist heute breit, und", "12", "all green, x", "é?") * 2


@pytest.fixture(scope="module")
def teachers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LocalTeacher]:
    shapes: dict[str, dict[str, int]] = {"llama": GROUPED, "gemma3": GROUPED}
    folders = {family: make(family, tmp_path_factory.mktemp(family), **shapes.get(family, {})) for family in FAMILIES}
    return {family: LocalBackend(LocalOptions(chunk=5)).teacher(str(folder)) for family, folder in folders.items()}


def requests(family: str, prompt: str | None = PROMPT, queries: Sequence[str] = QUERIES) -> list[Request]:
    form: Format = "text" if family in ("gpt2", "bloom") else "chat"
    asked = (framed("{query}", q, form) if prompt is None else teacher_prompt(prompt, q, form) for q in queries)
    return [Request(Key(number), question, seed=number) for number, question in enumerate(asked)]


def answers(teacher: LocalTeacher, asked: Sequence[Request], sampling: Sampling) -> dict[Key, Completion]:
    with teacher.sampler() as sampler:
        return dict(sampler.generate(asked, sampling))


def alone(teacher: LocalTeacher, request: Request, max_tokens: int) -> tuple[list[int], bool]:
    """The tokens that transformers' own generate gives one request, and whether an end token came."""
    model, renderer = teacher.opened.base(), teacher.renderer()
    ids = torch.tensor([list(renderer.prompt_ids(request.prompt))])
    with teacher.sampler() as sampler:
        ends = sampler.ends
    given = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=max_tokens,
        eos_token_id=list(ends),
        pad_token_id=0,
    )
    new: list[int] = given[0, ids.shape[1] :].tolist()
    return new, new[-1] in ends


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("prompt", [PROMPT, None])
def test_equal_to_one_by_one(teachers: dict[str, LocalTeacher], family: str, prompt: str | None) -> None:
    teacher = teachers[family]
    asked = requests(family, prompt)
    given = answers(teacher, asked, Sampling(max_tokens=10))
    assert len(given) == len(asked)
    for request in asked:
        tokens, ended = alone(teacher, request, 10)
        text = teacher.renderer().answer(tokens[:-1] if ended else tokens)
        prompt_tokens = len(teacher.renderer().prompt_ids(request.prompt))
        expected = Completion(text, "stop" if ended else "length", prompt_tokens, len(tokens))
        assert given[request.key] == expected


def test_prompts_that_begin_alike_go_together() -> None:
    one, two = (tuple(range(start, start + GROUP_PREFIX_TOKENS)) for start in (0, 100))
    mixed = [(*(one if number % 3 else two), number) for number in range(3 * MIN_GROUP_PROMPTS)]
    assert [list(group) for group in group_by_prefix(mixed)] == [
        [i for i in range(3 * MIN_GROUP_PROMPTS) if not i % 3],
        [i for i in range(3 * MIN_GROUP_PROMPTS) if i % 3],
    ]
    assert group_by_prefix(mixed[1:]) == [range(3 * MIN_GROUP_PROMPTS - 1)]
    assert group_by_prefix([(number,) for number in range(30)]) == [range(30)]


def test_answers_with_several_prompts_match_those_with_each(teachers: dict[str, LocalTeacher]) -> None:
    teacher = teachers["llama"]
    prompts = [f"{name} You are a careful clerk. {' and '.join('ABCDEFGHIJKLMNOP' * 2)}" for name in ("Now.", "Then:")]
    queries = [f"{query} {number}" for number, query in enumerate(QUERIES * 2)]
    asked = [
        Request(Key(number), teacher_prompt(prompts[number % 2], query, "chat")) for number, query in enumerate(queries)
    ]
    sampling = Sampling(max_tokens=6)
    with teacher.sampler() as sampler:
        assert len(group_by_prefix([sampler.renderer.prompt_ids(request.prompt) for request in asked])) == 2
        together = dict(sampler.generate(asked, sampling))
        apart = {**dict(sampler.generate(asked[::2], sampling)), **dict(sampler.generate(asked[1::2], sampling))}
    assert together == apart


def test_stop_sequences_end_some_rows_before_others(teachers: dict[str, LocalTeacher]) -> None:
    teacher = teachers["llama"]
    asked = requests("llama", queries=["The river", "The roads", "Hola, all", "12 apples"])
    whole = answers(teacher, asked, Sampling(max_tokens=12))
    texts = [whole[request.key].text for request in asked]
    sampling = Sampling(max_tokens=12, stop=(texts[1][-6:-3], texts[2][-6:-3]))
    cut = answers(teacher, asked, sampling)
    assert [cut[request.key].text for request in asked] == [sampling.cut(text)[0] for text in texts]


@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_the_prefix_is_computed_once(
    teachers: dict[str, LocalTeacher], family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    widths: list[int] = []
    with teachers[family].sampler() as sampler:
        assert isinstance(sampler, LocalSampler)
        engine = type(sampler.decoder.engine)
        original = engine.prefix

        def watched(self: Any, ids: TokenIds) -> Any:
            widths.append(len(ids))
            return original(self, ids)

        monkeypatch.setattr(engine, "prefix", watched)
        asked = requests(family, "You are a careful clerk. Name the language of the text and say nothing else.")
        for _ in range(2):
            assert len(list(sampler.generate(asked, Sampling(max_tokens=1)))) == len(asked)
    assert len(widths) == 1
    assert widths[0] > 20


def test_a_draw_depends_on_its_seed_alone(teachers: dict[str, LocalTeacher]) -> None:
    teacher, asked = teachers["qwen3"], requests("qwen3")
    sampling = Sampling(temperature=1.0, top_p=0.9, max_tokens=6)
    together = answers(teacher, asked, sampling)
    apart = {key: answer for request in asked for key, answer in answers(teacher, [request], sampling).items()}
    assert together == apart == answers(teacher, asked[::-1], sampling)
    others = answers(teacher, [replace(request, seed=request.seed + 99) for request in asked], sampling)
    assert [others[request.key].text for request in asked] != [together[request.key].text for request in asked]


def test_draws_follow_the_distribution() -> None:
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.2]])).expand(4000, 3)
    rows = range(4000)
    drawn = torch.tensor(TokenSampler(Sampling(temperature=1.0), rows).sample(logits, rows))
    shares = [(drawn == token).float().mean().item() for token in range(3)]
    assert shares == pytest.approx([0.5, 0.3, 0.2], abs=0.04)
    kept = TokenSampler(Sampling(temperature=1.0, top_p=0.7), rows).sample(logits, rows)
    assert set(kept) == {0, 1}
    cold = TokenSampler(Sampling(temperature=0.01), rows).sample(logits, rows)
    assert set(cold) == {0}


def test_stop_sequences_end_an_answer(teachers: dict[str, LocalTeacher]) -> None:
    teacher, asked = teachers["llama"], requests("llama")[:1]
    whole = answers(teacher, asked, Sampling(max_tokens=12))[Key(0)]
    assert len(whole.text) > 5
    stop = whole.text[4:6]
    stopped = answers(teacher, asked, Sampling(max_tokens=12, stop=(stop,)))[Key(0)]
    assert stopped.text == whole.text[: whole.text.index(stop)]
    assert stopped.finish == "stop"
    assert stopped.tokens < whole.tokens


@pytest.mark.parametrize("family", FAMILIES)
def test_pieces_make_up_the_answer(teachers: dict[str, LocalTeacher], family: str) -> None:
    several = 0
    with teachers[family].sampler() as sampler:
        assert isinstance(sampler, Streamer)
        for request in requests(family):
            whole = dict(sampler.generate([request], Sampling(max_tokens=12)))[request.key].text
            stops = tuple({whole[at : at + 2] for at in range(1, len(whole) - 1)} - {""})[:1]
            for sampling in (Sampling(max_tokens=12), Sampling(max_tokens=12, stop=stops)):
                pieces = list(sampler.stream(request, sampling))
                assert "".join(pieces) == dict(sampler.generate([request], sampling))[request.key].text
                several += sum(map(bool, pieces)) > 1
    assert several


def test_a_request_that_does_not_fit_is_named_before_anything_runs(
    teachers: dict[str, LocalTeacher], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object, **__: object) -> None:
        pytest.fail("something was computed")

    asked = requests("llama", queries=["short", "x " * 400, "12"])
    with teachers["llama"].sampler() as sampler:
        monkeypatch.setattr(native_model.NativeModel, "prefix", forbidden)
        monkeypatch.setattr(CascadeEngine, "decode", forbidden)
        with pytest.raises(ContextError, match=r"prompt tokens.*context length of 256 tokens") as caught:
            list(sampler.generate(asked, Sampling(max_tokens=4)))
    assert caught.value.number == 1


def test_no_requests_no_answers(teachers: dict[str, LocalTeacher]) -> None:
    assert answers(teachers["llama"], [], Sampling()) == {}


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma3", "gpt2", "bloom"])
def test_scores_are_the_models_log_probabilities(teachers: dict[str, LocalTeacher], family: str) -> None:
    teacher, asked = teachers[family], requests(family)[:4]
    tokens = [[7, 8, 9], [5], [11, 3], [4, 4, 4, 4]]
    with teacher.sampler() as sampler:
        scored = dict(sampler.score(zip(asked, tokens, strict=True), top_k=3))
    for request, given in zip(asked, tokens, strict=True):
        prompt = list(teacher.renderer().prompt_ids(request.prompt))
        with torch.no_grad():
            logits = teacher.opened.base()(torch.tensor([[*prompt, *given]])).logits[0, len(prompt) - 1 : -1]
        expected = torch.log_softmax(logits, -1)
        row = scored[request.key]
        assert row.logprobs == pytest.approx([expected[i, token].item() for i, token in enumerate(given)], abs=1e-4)
        assert torch.tensor(row.top_ids).tolist() == expected.topk(3).indices.tolist()
        assert torch.allclose(torch.tensor(row.top_logprobs), expected.topk(3).values, atol=1e-4)


@pytest.mark.parametrize("family", ["qwen3", "gpt2", "bloom"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_answers_are_kept_to_labels(teachers: dict[str, LocalTeacher], family: str, temperature: float) -> None:
    labels = ("en", "en-GB", "der Fluss", "12")
    sampling = Sampling(temperature=temperature, max_tokens=30, allowed=Allowed(labels=labels))
    found = answers(teachers[family], requests(family), sampling)
    assert {answer.text.strip() for answer in found.values()} <= set(labels)
    assert {answer.finish for answer in found.values()} == {"stop"}
    free = answers(teachers[family], requests(family), replace(sampling, allowed=None))
    assert found != free


def test_the_label_is_the_one_that_is_likelier_token_by_token(teachers: dict[str, LocalTeacher]) -> None:
    teacher, (request, *_) = teachers["qwen3"], requests("qwen3")
    first = answers(teacher, [request], Sampling(max_tokens=1))[request.key].text
    labels = ("zzz", f"{first}x") if first != "z" else ("zzz", "yyy")
    (kept,) = answers(teacher, [request], Sampling(max_tokens=30, allowed=Allowed(labels=labels))).values()
    renderer = teacher.renderer()
    likeliest = renderer.target_ids(request.prompt, kept.text)[0]
    scores = {label: renderer.target_ids(request.prompt, label)[0] for label in labels}
    with teacher.sampler() as sampler:
        asked = [(request, [token]) for token in scores.values()]
        best = max(
            ((s.logprobs[0], token) for (_, s), (_, (token,)) in zip(sampler.score(asked, 1), asked, strict=True))
        )
    assert likeliest == best[1]


def test_a_pattern_is_for_grammars(teachers: dict[str, LocalTeacher]) -> None:
    assert "constrain-pattern" not in teachers["qwen3"].capabilities
    with pytest.raises(
        BackendError, match="the torch engine can constrain answers to labels, but not to a pattern or a schema"
    ):
        answers(teachers["qwen3"], requests("qwen3"), Sampling(max_tokens=30, allowed=Allowed(pattern="a+")))
