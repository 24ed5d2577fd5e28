"""The requests sent and the parsing of answers, across servers and models that behave differently."""

import logging
from collections.abc import Sequence
from typing import Any

import pytest

from pdistill.backends.openai import OpenAIOptions, create
from pdistill.core.contract.prompts import Message, Messages, Prompt, Text
from pdistill.core.contract.sampling import Completion, Finish, Key, Request, Sampling
from tests.backends.openai.toy import MODEL, Body, Reply, Toy, refusal

CHAT = Messages((Message("system", "Be short."), Message("user", "a dog")))
TEXT = Text("Text: a dog\nKind:")
GREEDY = Sampling(max_tokens=12)
WARM = Sampling(temperature=0.7, top_p=0.9, max_tokens=12)


def ask(
    prompt: Prompt = CHAT, sampling: Sampling = GREEDY, seed: int = 5, times: int = 1, **options: Any
) -> list[Completion]:
    requests = [Request(Key(number), prompt, seed) for number in range(times)]
    with create(OpenAIOptions(**options)).teacher(MODEL).sampler() as sampler:
        return [answer for _, answer in sampler.generate(requests, sampling)]


PARTS = [
    {"type": "thinking", "thinking": [{"type": "text", "text": "hm, antlers"}]},
    {"type": "text", "text": "an "},
    {"type": "text", "text": "elk"},
]
"""An answer as Mistral's reasoning models give it."""


def said(**choice: Any) -> Reply:
    """A response with one choice."""
    return 200, {"choices": [{"index": 0, **choice}], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}


def fields(toy: Toy) -> Sequence[Body]:
    return [
        {key: value for key, value in body.items() if key not in ("model", "messages", "prompt")} for body in toy.asked
    ]


def test_greedy_chat_request(toy: Toy) -> None:
    ask()
    assert toy.asked == [
        {
            "model": MODEL,
            "messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "a dog"}],
            "temperature": 0.0,
            "max_tokens": 12,
        }
    ]


def test_sampling_request_has_seed_and_top_p(toy: Toy) -> None:
    ask(sampling=WARM, seed=(1 << 40) + 5)
    assert fields(toy) == [{"temperature": 0.7, "top_p": 0.9, "seed": 5, "max_tokens": 12}]


def test_text_is_sent_to_completions_or_as_a_message(toy: Toy) -> None:
    (answer,) = ask(TEXT)
    assert toy.asked[0]["prompt"] == TEXT.text
    (same,) = ask(TEXT, api="chat")
    assert toy.asked[1]["messages"] == [{"role": "user", "content": TEXT.text}]
    assert answer.text == same.text


def test_extra_fields(toy: Toy) -> None:
    ask(extra='{"chat_template_kwargs": {"enable_thinking": false}}')
    assert toy.asked[0]["chat_template_kwargs"] == {"enable_thinking": False}


def test_newer_models_have_another_name_for_the_token_limit(toy: Toy) -> None:
    told = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."

    def reply(body: Body) -> Reply | None:
        if "max_tokens" in body:
            return refusal(400, told, param="max_tokens", code="unsupported_parameter")
        return said(message={"content": "x"}, finish_reason="stop")

    toy.reply = reply
    assert {answer.text for answer in ask(times=5, window=1)} == {"x"}
    assert ["max_completion_tokens" in body for body in toy.asked] == [False, True, True, True, True, True]
    assert all(body["max_completion_tokens"] == 12 for body in toy.asked[1:])


@pytest.mark.parametrize(
    "refused",
    [
        refusal(400, "unknown field 'stop'; choose from model, messages"),
        refusal(400, "Unsupported parameter: 'stop' is not supported with this model.", param="stop"),
        (422, {"detail": "Unexpected fields in the request: {'stop'}"}),
        (
            422,
            {"detail": [{"type": "extra_forbidden", "loc": ["body", "stop"], "msg": "Extra inputs are not permitted"}]},
        ),
    ],
)
def test_unsupported_stop_sequences_are_applied_locally(toy: Toy, refused: Reply) -> None:
    toy.reply = lambda body: refused if "stop" in body else None
    (whole,) = ask()
    (cut,) = ask(sampling=Sampling(max_tokens=12, stop=("animals",)))
    assert cut.text == whole.text[: whole.text.index("animals")]
    assert cut.finish == "stop"


def test_text_answer_is_the_first_line(toy: Toy) -> None:
    first = Sampling(max_tokens=12, stop_at_newline=True)
    (answer,) = ask(TEXT, first)
    assert answer.text.endswith("plants")
    assert fields(toy)[0]["stop"] == ["\n"]
    toy.reply = lambda body: said(text="" if "stop" in body else "\nwolf\nText: a", finish_reason="stop")
    (later,) = ask(TEXT, first)
    assert (later.text, later.finish) == ("\nwolf", "stop")


@pytest.mark.parametrize(
    ("choice", "text", "finish", "reason"),
    [
        (
            {"message": {"content": "an elk", "reasoning_content": "hm, antlers"}, "finish_reason": "stop"},
            "an elk",
            "stop",
            None,
        ),
        ({"message": {"content": None, "reasoning_content": "hm"}, "finish_reason": "length"}, "", "length", None),
        ({"message": {"content": ""}, "finish_reason": "stop"}, "", "stop", None),
        (
            {"message": {"content": "an"}, "finish_reason": "content_filter"},
            "an",
            "error",
            "ended with 'content_filter'",
        ),
        (
            {"message": {"content": None, "refusal": "I can't"}, "finish_reason": "stop"},
            "I can't",
            "error",
            "refused: I can't",
        ),
        (
            {"message": {"content": None, "tool_calls": []}, "finish_reason": "tool_calls"},
            "",
            "error",
            "ended with 'tool_calls'",
        ),
        ({"message": {"content": "elk"}, "finish_reason": "STOP"}, "elk", "stop", None),
        ({"message": {"content": "elk"}, "finish_reason": ""}, "elk", "stop", None),
        ({"message": {"content": "elk"}, "finish_reason": None}, "elk", "stop", None),
        ({"message": {"content": "elk"}, "finish_reason": "model_length"}, "elk", "length", None),
        ({"message": {"content": PARTS}, "finish_reason": "stop"}, "an elk", "stop", None),
        (
            {"message": {"content": {"a": 1}}, "finish_reason": "stop"},
            "",
            "error",
            "the answer is {'a': 1}, not a text",
        ),
    ],
)
def test_answers_are_parsed(toy: Toy, choice: Body, text: str, finish: Finish, reason: str | None) -> None:
    toy.reply = lambda body: said(**choice)
    assert ask() == [Completion(text, finish, 7, 3, reason)]


@pytest.mark.parametrize("usage", [{"prompt_tokens": "7", "completion_tokens": 3.0}, {"prompt_tokens": -1}, [], None])
def test_token_counts_that_are_none_are_estimated(toy: Toy, usage: Any) -> None:
    choice = {"message": {"content": "x"}, "finish_reason": "stop"}
    toy.reply = lambda body: (200, {"choices": [choice], "usage": usage})
    (answer,) = ask()
    assert (type(answer.prompt_tokens), type(answer.tokens)) == (int, int)
    assert answer.prompt_tokens > 7


@pytest.mark.parametrize(
    ("words", "sampling", "kept"),
    [
        ("`temperature` and `top_p` cannot both be specified for this model.", Sampling(0.7), {"temperature": 0.7}),
        ("`temperature` and `top_p` cannot both be specified for this model.", Sampling(1.0, 0.9), {"top_p": 0.9}),
        ("temperature: this model takes none", Sampling(1.0), {"top_p": 1.0}),
    ],
)
def test_neutral_values_that_are_refused_are_left_out(
    toy: Toy, words: str, sampling: Sampling, kept: dict[str, float]
) -> None:
    both = "both" in words
    toy.reply = lambda body: refusal(400, words) if "temperature" in body and ("top_p" in body or not both) else None
    ask(sampling=sampling, times=3, window=1)
    assert [{name: sent[name] for name in ("temperature", "top_p") if name in sent} for sent in toy.asked[-2:]] == [
        kept
    ] * 2
    assert len(toy.asked) == 4


def test_query_that_names_a_field_costs_no_other_query_the_field(toy: Toy) -> None:
    toy.reply = lambda body: refusal(400, "flagged: stop the temperature") if "flag" in str(body["messages"]) else None
    flagged = Messages((Message("user", "flag"),))
    assert [each.finish for each in ask(flagged, Sampling(1.0, stop=("x",)), times=2, window=1)] == ["error"] * 2
    assert {"stop", "temperature"} <= set(toy.asked[-1])


def test_uncounted_tokens_are_estimated_from_above(toy: Toy, caplog: pytest.LogCaptureFixture) -> None:
    toy.reply = lambda body: (200, {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]})
    with caplog.at_level(logging.WARNING, logger="pdistill"):
        (answer,) = ask()
    assert answer.tokens == 12
    assert answer.prompt_tokens >= len("Be short.a dog")
    assert "the service does not count tokens" in caplog.text


def test_hostile_text_is_passed_through(toy: Toy) -> None:
    hostile = "<|im_end|>\n{{ x }} \u202e\x1b[2J \U0001f642"
    toy.reply = lambda body: said(message={"content": hostile}, finish_reason="stop")
    (answer,) = ask(Messages((Message("user", f"{hostile}\ud800"),)))
    assert answer.text == hostile
    assert toy.asked[0]["messages"][0]["content"] == f"{hostile}?"
