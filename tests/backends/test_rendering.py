"""Token ids of prompts and targets, by chat template and as plain text."""

from pathlib import Path

import pytest
from tokenizers import normalizers

from pdistill.backends.local.backend import LocalBackend
from pdistill.backends.local.options import LocalOptions
from pdistill.backends.rendering import TemplateRenderer
from pdistill.core.contract.prompts import Message, Messages, Text, framed, teacher_prompt
from pdistill.core.errors import BackendError, TargetError
from tests.backends.chat_families import FAMILIES, tokenizer_of
from tests.backends.tiny_models import chat_tokenizer, gpt2_tokenizer, make


@pytest.fixture(scope="module")
def chat() -> TemplateRenderer:
    return TemplateRenderer(chat_tokenizer(), "tiny")


@pytest.fixture(scope="module")
def text() -> TemplateRenderer:
    return TemplateRenderer(gpt2_tokenizer(), "tiny")


def shown(renderer: TemplateRenderer, ids: object) -> str:
    return str(renderer.tokenizer.decode(ids))


def test_chat_prompts_end_where_the_answer_begins(chat: TemplateRenderer) -> None:
    ids = chat.prompt_ids(teacher_prompt("Name the language.", "Hola", "chat"))
    assert shown(chat, ids) == (
        "<|im_start|>system\nName the language.<|im_end|>\n<|im_start|>user\nHola<|im_end|>\n"
        "<|im_start|>assistant\n<think></think>\n"
    )


def test_what_the_template_adds_is_the_same_in_training_and_inference(chat: TemplateRenderer) -> None:
    prompt = framed("{query}", "Hola", "chat")
    asked = chat.prompt_ids(prompt)
    trained = [*asked, *chat.target_ids(prompt, "de")]
    assert shown(chat, asked).startswith("<|im_start|>system\nYou help.<|im_end|>\n<|im_start|>user\nHola")
    assert trained[: len(asked)] == asked
    assert shown(chat, trained) == shown(chat, asked) + "de<|im_end|>"


def test_thinking_reaches_the_template() -> None:
    prompt = framed("{query}", "Hola", "chat")
    on, off = (TemplateRenderer(chat_tokenizer(), "tiny", thinking) for thinking in (True, False))
    assert "<think></think>" not in shown(on, on.prompt_ids(prompt))
    assert "<think></think>" in shown(off, off.prompt_ids(prompt))
    assert on.identity()["thinking"] != off.identity()["thinking"]
    assert on.identity()["vocabulary"] == off.identity()["vocabulary"]


def test_the_thinking_option_reaches_the_renderer(tmp_path: Path) -> None:
    folder = str(make("llama", tmp_path))
    renderers = [LocalBackend(LocalOptions(thinking=on)).teacher(folder).renderer() for on in (True, False)]
    assert [renderer.thinking for renderer in renderers] == [True, False]


@pytest.mark.parametrize(
    ("after", "token"),
    [
        ("<|im_end|>\n", "<|im_end|>"),
        (" <|endoftext|>", "<|endoftext|>"),
        ("", "<|endoftext|>"),
        ("\n", "<|endoftext|>"),
    ],
)
def test_the_chat_end_token_is_what_the_template_puts_after_the_answer(after: str, token: str) -> None:
    tokenizer = chat_tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '" + after + "' }}{% endfor %}"
    )
    renderer = TemplateRenderer(tokenizer, "tiny")
    assert renderer.target_ids(framed("{query}", "x", "chat"), "de")[-1] == tokenizer.convert_tokens_to_ids(token)


def test_text_has_the_start_token_once_and_a_space_before_the_answer(text: TemplateRenderer) -> None:
    prompt = framed("Text: {query}\nLabel:", "Hola", "text")
    ids = [*text.prompt_ids(prompt), *text.target_ids(prompt, "de")]
    assert shown(text, ids) == "<s>Text: Hola\nLabel: de</s>"


def test_text_that_ends_in_whitespace_gets_no_second_space(text: TemplateRenderer) -> None:
    assert shown(text, text.target_ids(Text("Label:\n"), "de")) == "de</s>"


def test_empty_text_is_only_the_start_token(chat: TemplateRenderer) -> None:
    assert shown(chat, chat.prompt_ids(Text(""))) == "<|endoftext|>"


def test_chat_without_a_template_names_the_way_out(text: TemplateRenderer) -> None:
    assert not text.has_chat_template
    with pytest.raises(BackendError, match="no chat template; .* --format text"):
        text.prompt_ids(framed("{query}", "x", "chat"))


def test_messages_that_the_template_refuses_are_one_line() -> None:
    tokenizer = chat_tokenizer()
    tokenizer.chat_template = "{{ raise_exception('no system role') }}"
    with pytest.raises(BackendError, match=r"rejects the messages \(system, user\): no system role"):
        TemplateRenderer(tokenizer, "tiny").prompt_ids(Messages((Message("system", "a"), Message("user", "b"))))


def test_pieces_add_up_to_the_text_and_show_parts_of_characters(chat: TemplateRenderer) -> None:
    ids = list(chat.prompt_ids(framed("{query}", "The river", "chat")))
    assert "".join(chat.pieces(ids)) == shown(chat, ids)
    parts = chat.prompt_ids(Text("日"))
    assert len(parts) > 1
    assert "\ufffd" not in "".join(chat.pieces(parts))


def test_identity_tells_vocabularies_and_templates_apart(chat: TemplateRenderer, text: TemplateRenderer) -> None:
    other = chat_tokenizer()
    other.chat_template = "{{ messages[0]['content'] }}"
    assert chat.identity()["vocabulary"] != text.identity()["vocabulary"]
    assert chat.identity()["template"] != TemplateRenderer(other, "tiny").identity()["template"]
    assert chat.identity() == TemplateRenderer(chat_tokenizer(), "tiny").identity()


ROLES = [["user"], ["user", "assistant", "user"], ["system", "user"], ["system", "user", "assistant", "user"]]


@pytest.mark.parametrize("target", ["repair", "An answer: «r é 日», {x}\n\n  1. fix"])
@pytest.mark.parametrize("name", FAMILIES)
def test_an_answer_has_the_ids_of_the_templates_own_finished_conversation(name: str, target: str) -> None:
    family, tokenizer = FAMILIES[name], tokenizer_of(name)
    renderer = TemplateRenderer(tokenizer, name)
    for roles in ROLES if family.system else ROLES[:2]:
        turns = tuple(Message(role, f"The pump is broken ({at})") for at, role in enumerate(roles))  # type: ignore[arg-type]
        messages = [{"role": turn.role, "content": turn.content} for turn in turns]
        text = tokenizer.apply_chat_template(
            [*messages, {"role": "assistant", "content": target}], tokenize=False, enable_thinking=False
        )
        own = tokenizer(text, add_special_tokens=False)["input_ids"]
        asked, answer = renderer.prompt_ids(Messages(turns)), renderer.target_ids(Messages(turns), target)
        end = tokenizer.convert_tokens_to_ids(family.end)
        if own[: len(asked)] != list(asked):  # Mistral's third template forgets the system message once it is answered
            assert (name, roles[0]) == ("mistral-v3", "system")
            asked = own[: len(own) - len(answer)]
        joined = [*asked, *answer]
        assert joined[-1] == end
        assert own[: len(joined)] == joined or [*own, end] == joined
        assert renderer.text(answer[:-1]).strip() == target


def test_an_answer_that_the_tokenizer_changes_is_refused_by_name() -> None:
    renderer = TemplateRenderer(tokenizer_of("mistral-v1"), "mine")
    with pytest.raises(TargetError, match=r"the tokenizer of model 'mine' has no tokens for the answer 'a<s>b'"):
        renderer.target_ids(framed("{query}", "x", "chat"), "a<s>b")
    tokenizer = chat_tokenizer()
    tokenizer.backend_tokenizer.normalizer = normalizers.NFC()
    with pytest.raises(TargetError, match="has no tokens"):
        TemplateRenderer(tokenizer, "mine").target_ids(framed("{query}", "x", "chat"), "cafe\u0301")


def test_a_template_that_treats_a_finished_conversation_differently_gets_the_answer_alone() -> None:
    tokenizer = chat_tokenizer()
    prompt = framed("{query}", "x", "chat")
    plain = TemplateRenderer(tokenizer, "tiny").target_ids(prompt, "de")
    for added in ("{{ '<think>\\n' if add_generation_prompt }}", "{{ 'thought: ' if not add_generation_prompt }}"):
        other = chat_tokenizer()
        other.chat_template = str(other.chat_template) + added
        assert TemplateRenderer(other, "tiny").target_ids(prompt, "de") == plain


def test_an_answer_to_a_long_prompt_is_split_as_after_the_whole_of_it() -> None:
    tokenizer = tokenizer_of("mistral-v1")
    prompt = teacher_prompt("Name the kind of request. " * 200, "The pump is broken", "chat")
    assert isinstance(prompt, Messages)
    messages = [{"role": turn.role, "content": turn.content} for turn in prompt.messages]
    whole = tokenizer.apply_chat_template([*messages, {"role": "assistant", "content": "fix"}], tokenize=False)
    renderer = TemplateRenderer(tokenizer, "mistral")
    assert [*renderer.prompt_ids(prompt), *renderer.target_ids(prompt, "fix")] == tokenizer(
        whole, add_special_tokens=False
    )["input_ids"]


def test_an_answer_is_read_from_the_final_channel() -> None:
    renderer = TemplateRenderer(tokenizer_of("gpt-oss"), "oss")

    def ids(text: str) -> list[int]:
        return list(renderer.tokenizer(text, add_special_tokens=False)["input_ids"])

    assert renderer.answer(ids("<|channel|>final<|message|>repair")) == "repair"
    thought = "<|channel|>analysis<|message|>a pump<|end|><|start|>assistant<|channel|>final<|message|>fix"
    assert renderer.answer(ids(thought)) == "fix"


@pytest.mark.parametrize(
    ("name", "text"), [("gpt-oss", "<|channel|>commentary to=tool<|message|>{}"), ("llama-3", "fix<|header|>tool")]
)
def test_other_special_tokens_are_not_glued_away(name: str, text: str) -> None:
    renderer = TemplateRenderer(tokenizer_of(name), name)
    answer = renderer.answer(renderer.tokenizer(text, add_special_tokens=False)["input_ids"])
    assert answer == text
    assert renderer.holds_special_tokens(answer)
    assert not renderer.holds_special_tokens("fix tool")
