import json
import math
import subprocess
import sys
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdistill.backends.fake import FakeBackend, FakeOptions
from pdistill.backends.fake.renderer import END, FakeRenderer, decode, encode
from pdistill.core.contract.batches import Batch, HardRow, PolicyRow, SoftRow, hard_batch, hard_row
from pdistill.core.contract.interfaces import Lora, Scorer, StateURI, Trainer, WeightsURI
from pdistill.core.contract.options import build
from pdistill.core.contract.plugins import installed
from pdistill.core.contract.prices import FREE
from pdistill.core.contract.prompts import Format, Message, Messages, Prompt, Text, framed, teacher_prompt
from pdistill.core.contract.sampling import Completion, Key, Request, Sampling
from pdistill.core.errors import BackendError, ContextError, UsageError
from pdistill.testing import backend_checks, check_backend

RULES = "Say which drawer it goes into.\nKnives:sharp\nSpoons:round\nForks:spiky\nThe rest:odd"
QUERIES = [f"{thing} from the {place}" for thing in ("a ladle", "the cleaver", "two tongs") for place in
           ("kitchen", "attic", "market", "cellar", "old ship", "shop", "barn", "fair", "van", "sea")]  # fmt: skip
LABELS = {"sharp", "round", "spiky", "odd"}


def ask(backend: FakeBackend, rules: str, queries: list[str] = QUERIES, format: Format = "chat") -> list[str]:
    prompts = [teacher_prompt(rules, query, format) for query in queries]
    return [answer.text for answer in complete(backend, prompts)]


def complete(backend: FakeBackend, prompts: list[Prompt], sampling: Sampling | None = None) -> list[Completion]:
    requests = [Request(Key(number), prompt, seed=number) for number, prompt in enumerate(prompts)]
    with backend.teacher(backend.default_model or "").sampler() as sampler:
        found = dict(sampler.generate(requests, sampling or Sampling()))
    return [found[Key(number)] for number in range(len(prompts))]


def base(prompt: Prompt) -> str:
    with FakeBackend().student("rule", Path()).sampler(None) as sampler:
        ((_, answer),) = sampler.generate([Request(Key(0), prompt)], Sampling())
    return answer.text


@pytest.mark.parametrize("check", backend_checks())
@pytest.mark.parametrize(
    "options",
    [
        FakeOptions(),
        FakeOptions(chat_template=False),
        FakeOptions(shuffle=True, latency=0.001),
        FakeOptions(chunk=4),
        FakeOptions(context=4096),
    ],
    ids=["chat", "text", "shuffled", "chunks", "context"],
)
def test_passes_the_checks_of_a_backend(check: str, options: FakeOptions, tmp_path: Path) -> None:
    check_backend(FakeBackend(options), check, teacher_model="rule", student_model="rule", directory=tmp_path)


def test_is_registered_and_takes_options_as_texts() -> None:
    entry = installed().backends["fake"]
    given = {"answers": "yes, no", "latency": "0.5", "fail_at": "3", "shuffle": "true"}
    options: FakeOptions = build(entry.options, given, "backend fake")
    assert options == FakeOptions(answers=("yes", "no"), latency=0.5, fail_at=3, shuffle=True)
    assert entry.create(options).default_model == "rule"


def test_a_number_below_0_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match="invalid value -1 for option chunk of backend fake"):
        build(FakeOptions, {"chunk": "-1"}, "backend fake")


def test_costs_nothing_unless_a_price_is_given() -> None:
    assert FakeBackend().prices("rule") == FREE
    options = build(FakeOptions, {"price_sampled": "2.5"}, "backend fake")
    given = FakeBackend(options).prices("rule")
    assert given is not None
    assert (given.prompt, given.sampled, given.trained) == (0, 2.5, 0)


def test_imports_no_numpy_and_no_torch() -> None:
    code = "import sys, pdistill.backends.fake; print(*{'numpy', 'torch', 'pydantic', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_names_its_models_where_one_is_unknown() -> None:
    with pytest.raises(BackendError, match="no model 'ruel', did you mean 'rule'\\? choose from rule, echo"):
        FakeBackend().teacher("ruel")


@given(st.text())
def test_any_text_comes_back_from_its_ids(text: str) -> None:
    ids = encode(text)
    assert decode(ids) == text
    assert all(END < token < 2**63 for token in ids)


def test_chat_is_framed_by_special_tokens() -> None:
    renderer = FakeRenderer()
    prompt = Messages((Message("system", "Be kind"), Message("user", "Hi")))
    ids = [*renderer.prompt_ids(prompt), *renderer.target_ids(prompt, "Hello")]
    assert renderer.pieces(ids) == [
        "<|system|>", "Be", " kind", "<|end|>", "<|user|>", "Hi", "<|end|>", "<|assistant|>", "Hello", "<|end|>",
    ]  # fmt: skip


@pytest.mark.parametrize(("prompt", "target"), [("Colour:", " red"), ("Colour: ", "red"), ("Colour:\n", "red")])
def test_text_is_continued_after_one_space(prompt: str, target: str) -> None:
    renderer = FakeRenderer(has_chat_template=False)
    assert renderer.pieces(renderer.target_ids(Text(prompt), "red")) == [target, "<|eos|>"]


def test_a_base_model_refuses_chat_messages() -> None:
    with pytest.raises(BackendError, match="no chat template; use --format text"):
        ask(FakeBackend(FakeOptions(chat_template=False)), RULES)


@pytest.mark.parametrize("format", ["chat", "text"])
def test_the_answers_are_labels_that_the_prompt_names(format: Format) -> None:
    prompts = {"chat": RULES, "text": f"{RULES}\n\nThing: {{query}}\nDrawer:"}
    answers = ask(FakeBackend(), prompts[format], format=format)
    assert {answer.strip() for answer in answers} == LABELS
    assert [answer.strip() for answer in answers] == ask(FakeBackend(), RULES)


def test_the_prompt_decides_the_answers() -> None:
    before = ask(FakeBackend(), RULES)
    assert ask(FakeBackend(), RULES) == before
    assert ask(FakeBackend(), RULES.replace("round", "curved")) == [
        "curved" if answer == "round" else answer for answer in before
    ]
    assert "odd" not in ask(FakeBackend(), RULES.replace("The rest:odd", ""))


def test_a_prompt_without_labels_gets_yes_or_no() -> None:
    one, other = ask(FakeBackend(), "Is it sharp?"), ask(FakeBackend(), "Is it round?")
    assert set(one) == set(other) == {"yes", "no"}
    assert one != other


def test_answers_of_the_options_go_before_the_prompts() -> None:
    assert set(ask(FakeBackend(FakeOptions(answers=("left", "right"))), RULES)) == {"left", "right"}


def test_base_follows_a_prompt_and_repeats_a_bare_query() -> None:
    query = "a ladle; meet at 12:30"
    assert base(framed("{query}", query, "chat")) == query
    assert base(teacher_prompt(RULES, query, "chat")) in LABELS
    assert base(teacher_prompt(f"{RULES}\n\n{{query}}", query, "text")).strip() in LABELS


def test_a_scripted_teacher_is_a_function_or_a_mapping() -> None:
    seen = []

    def teacher(prompt: str, query: str) -> str:
        seen.append((prompt, query))
        return query.upper()

    assert ask(FakeBackend(teacher=teacher), RULES, ["a fork"]) == ["A FORK"]
    assert seen == [(RULES, "a fork")]
    mapping = FakeBackend(teacher={"a fork": "spiky"})
    assert ask(mapping, RULES, ["a fork"]) == ["spiky"]
    with pytest.raises(BackendError, match="no answer to 'a forc'; the closest query in it is 'a fork'"):
        ask(mapping, RULES, ["a forc"])


def test_echo_ignores_the_prompt() -> None:
    with FakeBackend().teacher("echo").sampler() as sampler:
        ((_, answer),) = sampler.generate([Request(Key(0), teacher_prompt(RULES, "a fork", "chat"))], Sampling())
    assert answer.text == "a fork"


def endless(taken: list[int]) -> Iterator[Request]:
    for number in count():
        taken.append(number)
        yield Request(Key(number), teacher_prompt(RULES, f"thing {number}", "chat"))


@pytest.mark.parametrize(("options", "window"), [(FakeOptions(), 1), (FakeOptions(shuffle=True), 16)])
def test_takes_no_more_requests_than_its_window(options: FakeOptions, window: int) -> None:
    taken: list[int] = []
    with FakeBackend(options).teacher("rule").sampler() as sampler:
        answers = sampler.generate(endless(taken), Sampling())
        for answered in range(1, 50):
            next(answers)
            assert len(taken) <= answered + window - 1


def test_memory_does_not_grow_with_the_requests() -> None:
    with FakeBackend().teacher("rule").sampler() as sampler:
        requests = (Request(Key(n), teacher_prompt(RULES, f"thing {n}", "chat")) for n in range(20_000))
        answers = sampler.generate(requests, Sampling())
        for _ in range(1_000):
            next(answers)
        tracemalloc.start()
        try:
            total = sum(1 for _ in answers)
            grown, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert total == 19_000
    assert grown < 200_000


def test_shuffled_answers_are_out_of_order_and_the_same() -> None:
    requests = [Request(Key(n), teacher_prompt(RULES, query, "chat")) for n, query in enumerate(QUERIES)]
    with FakeBackend(FakeOptions(shuffle=True)).teacher("rule").sampler() as sampler:
        answers = list(sampler.generate(requests, Sampling()))
    assert [key.number for key, _ in answers] != list(range(len(QUERIES)))
    assert [answer.text for _, answer in sorted(answers, key=lambda pair: pair[0])] == ask(FakeBackend(), RULES)


def test_fails_at_the_given_call() -> None:
    backend = FakeBackend(FakeOptions(fail_at=3))
    answers: list[tuple[Key, Completion]] = []
    with backend.teacher("rule").sampler() as sampler, pytest.raises(BackendError, match="failed at call 3"):
        answers.extend(sampler.generate(endless([]), Sampling()))
    with backend.teacher("rule").sampler() as sampler:
        assert next(sampler.generate(endless([]), Sampling()))[0] == Key(0)


def test_cuts_off_every_nth_answer() -> None:
    backend = FakeBackend(FakeOptions(cut_every=4))
    finishes = [answer.finish for answer in complete(backend, [teacher_prompt(RULES, "x", "chat")] * 8)]
    assert finishes == ["stop", "stop", "stop", "length"] * 2


def test_a_context_that_is_too_short_names_the_query_and_the_lengths() -> None:
    backend = FakeBackend(FakeOptions(context=60))
    prompts = [teacher_prompt(RULES, "a " * length, "chat") for length in (1, 40)]
    with pytest.raises(ContextError, match=r"query '1' does not fit: \d+ prompt tokens, \d+ query tokens"):
        complete(backend, prompts, Sampling(max_tokens=8))
    used = complete(FakeBackend(), prompts, Sampling(max_tokens=8))
    assert [answer.prompt_tokens for answer in used] == [len(FakeRenderer().prompt_ids(prompt)) for prompt in prompts]


def test_ends_at_stops_and_at_the_token_limit() -> None:
    backend = FakeBackend(teacher=lambda prompt, query: "\n one two\nthree")
    prompt: Prompt = Text("Count\n\nnow")

    def answer(sampling: Sampling) -> Completion:
        return complete(backend, [prompt], sampling)[0]

    assert answer(Sampling()) == Completion("\n one two\nthree", "stop", 4, 6)
    assert answer(Sampling(stop_at_newline=True)) == Completion("\n one two", "stop", 4, 4)
    assert answer(Sampling(stop=("two",))).text == "\n one "
    assert answer(Sampling(max_tokens=3)) == Completion("\n one two", "length", 4, 3)
    assert answer(Sampling(max_tokens=5)).finish == "length"


def test_sampled_answer_is_determined_by_its_seed() -> None:
    prompts: list[Prompt] = [teacher_prompt(RULES, "a fork", "chat")] * 400
    greedy = complete(FakeBackend(), prompts[:1])[0].text
    drawn = [answer.text for answer in complete(FakeBackend(), prompts, Sampling(temperature=1.0))]
    assert drawn == [answer.text for answer in complete(FakeBackend(), prompts, Sampling(temperature=1.0))]
    assert set(drawn) == LABELS
    assert 0.85 < Counter(drawn)[greedy] / 400 < 0.95
    nucleus = complete(FakeBackend(), prompts, Sampling(temperature=1.0, top_p=0.5))
    assert {answer.text for answer in nucleus} == {greedy}


def test_scores_are_the_log_probabilities_of_the_answers() -> None:
    prompt = teacher_prompt(RULES, "a fork", "chat")
    ids = FakeRenderer().target_ids(prompt, complete(FakeBackend(), [prompt])[0].text)
    with FakeBackend().teacher("rule").sampler() as sampler:
        scorer: Scorer = sampler
        ((_, scores),) = scorer.score([(Request(Key(0), prompt), ids)], 2)
    assert math.exp(sum(scores.logprobs)) == pytest.approx(0.9)
    assert scores.top_ids[0][0] == ids[0]
    assert math.exp(scores.top_logprobs[0][1]) == pytest.approx(0.1 / 3)


def row(query: str, target: str) -> HardRow:
    renderer = FakeRenderer()
    prompt = framed("{query}", query, "chat")
    return hard_row(renderer.prompt_ids(prompt), renderer.target_ids(prompt, target))


def predictions(backend: FakeBackend, directory: Path, weights: WeightsURI, queries: list[str] = QUERIES) -> list[str]:
    requests = [Request(Key(n), framed("{query}", query, "chat")) for n, query in enumerate(queries)]
    with backend.student("rule", directory).sampler(weights) as sampler:
        return [answer.text for _, answer in sampler.generate(requests, Sampling())]


def test_the_student_learns_the_teachers_answers_and_generalises(tmp_path: Path) -> None:
    backend = FakeBackend()
    answers = ask(backend, RULES)
    batch = hard_batch([row(query, answer) for query, answer in zip(QUERIES, answers, strict=True)])
    with backend.student("rule", tmp_path).trainer(Lora(), None) as trainer:
        for _ in range(20):
            trainer.step(batch, 0.5)
        weights = trainer.save_weights("done").result()
    assert predictions(backend, tmp_path, weights) == answers
    unseen = [query.replace("from the", "of the big").replace("two", "nine") for query in QUERIES]
    agreed = [
        a == b
        for a, b in zip(predictions(backend, tmp_path, weights, unseen), ask(backend, RULES, unseen), strict=True)
    ]
    assert sum(agreed) > 0.9 * len(agreed)


def test_a_student_learns_answers_of_many_tokens(tmp_path: Path) -> None:
    backend = FakeBackend()
    taught = {"a fork": "very spiky, no doubt", "a spoon": "very round, I think"}
    batch = hard_batch([row(query, answer) for query, answer in taught.items()])
    with backend.student("rule", tmp_path).trainer(Lora(), None) as trainer:
        for _ in range(20):
            trainer.step(batch, 0.5)
        weights = trainer.save_weights("done").result()
    assert predictions(backend, tmp_path, weights, list(taught)) == list(taught.values())


@pytest.fixture
def trainer(tmp_path: Path) -> Iterator[Trainer]:
    with FakeBackend().student("rule", tmp_path).trainer(Lora(), None) as opened:
        yield opened


def test_the_loss_is_cross_entropy_over_the_trained_tokens(trainer: Trainer) -> None:
    metrics = trainer.step(hard_batch([row("a fork", "spiky")]), 0.5).result()
    assert metrics.tokens == 2
    assert metrics.loss == pytest.approx(
        math.log(1 + math.exp(3))
    )  # at both places one token against the untrained rest


def test_soft_targets_are_learnt_in_proportion(trainer: Trainer) -> None:
    hard = row("a fork", "odd")
    targets = [(token, 99) for token in hard.targets]
    weights = [weight / sum(hard.weights) for weight in hard.weights]
    soft = Batch([SoftRow(hard.ids, targets, [(0.75, 0.25)] * len(hard.ids), weights)])
    losses = [trainer.step(soft, 0.2).result().loss for _ in range(200)]
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert losses[-1] == pytest.approx(entropy, abs=0.02)


def test_rollouts_are_weighted_by_advantage_and_importance(trainer: Trainer) -> None:
    hard = row("a fork", "odd")
    zeros = [0.0] * len(hard.ids)
    first = [1.0 if weight else 0.0 for weight in hard.weights]
    first[-1] = 0.0
    sampled = math.log(0.5)

    def rollout(advantage: float) -> float:
        rewarded = PolicyRow(hard.ids, hard.targets, [sampled] * len(zeros), [advantage] * len(zeros), first)
        return trainer.step(Batch([rewarded]), 0.5).result().loss

    start = 1 / (1 + math.exp(3))
    assert rollout(2.0) == pytest.approx(-2 * start / 0.5)
    rewarded = -rollout(-1.0) / -2  # the probability after one step towards the token
    assert rewarded > start
    assert rollout(1.0) / -2 < rewarded


def test_slow_steps_do_not_block_the_caller_and_stay_in_order(tmp_path: Path) -> None:
    backend = FakeBackend(FakeOptions(latency=0.05))
    batch = hard_batch([row("a fork", "spiky")])
    with backend.student("rule", tmp_path).trainer(Lora(), None) as trainer:
        steps = [trainer.step(batch, 0.5) for _ in range(3)]
        state = trainer.save_state("s")
        assert not state.done()
        assert json.loads((tmp_path / state.result()).read_bytes())["step"] == 3
        assert all(step.done() for step in steps)


def test_nothing_is_saved_after_a_failed_step(tmp_path: Path) -> None:
    backend = FakeBackend(FakeOptions(fail_at=2))
    batch = hard_batch([row("a fork", "spiky")])
    with backend.student("rule", tmp_path).trainer(Lora(), None) as trainer:
        trainer.step(batch, 0.5).result()
        trainer.step(batch, 0.5)
        with pytest.raises(BackendError, match="failed at call 2"):
            trainer.save_state("s").result()
    assert not list(tmp_path.rglob("*.json"))


def test_states_and_weights_are_different_files_and_can_be_released(trainer: Trainer, tmp_path: Path) -> None:
    trainer.step(hard_batch([row("a fork", "spiky")]), 0.5)
    state, weights = trainer.save_state("one").result(), trainer.save_weights("one").result()
    assert (state, weights) == ("checkpoints/one.json", "checkpoints/one.weights.json")
    student = FakeBackend().student("rule", tmp_path)
    student.release(state)
    student.release(state)
    assert not (tmp_path / state).exists()
    assert (tmp_path / weights).exists()
    with pytest.raises(BackendError, match=r"can't read .*one\.json"), student.trainer(Lora(), state):
        pass
    with pytest.raises(BackendError, match=r"can't read .*none\.json"), student.sampler(WeightsURI("none.json")):
        pass


def test_the_export_says_that_it_is_a_fake(trainer: Trainer, tmp_path: Path) -> None:
    trainer.step(hard_batch([row("a fork", "spiky")]), 0.5)
    weights = trainer.save_weights("one").result()
    folder = tmp_path / "adapter"
    folder.mkdir()
    trainer.export(weights, folder)
    config = json.loads((folder / "adapter_config.json").read_bytes())
    assert config == {"peft_type": "FAKE", "base_model_name_or_path": "rule", "r": 32, "lora_alpha": 64}
    assert sorted(path.name for path in folder.iterdir()) == ["adapter_config.json", "adapter_weights.json"]


def test_missing_state_is_named(tmp_path: Path) -> None:
    student = FakeBackend().student("rule", tmp_path)
    with pytest.raises(BackendError, match="pdistill train"), student.trainer(Lora(), StateURI("checkpoints/s.json")):
        pass
