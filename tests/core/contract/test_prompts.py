import pytest

from pdistill.core.contract.prompts import (
    Message,
    Messages,
    Prompt,
    Text,
    check_prompt,
    framed,
    prompt_hash,
    teacher_prompt,
)
from pdistill.core.errors import UsageError


def test_a_chat_prompt_is_the_system_message() -> None:
    assert teacher_prompt("rules", "q", "chat") == Messages((Message("system", "rules"), Message("user", "q")))


def test_a_chat_prompt_with_a_place_for_the_query_is_the_user_message() -> None:
    assert teacher_prompt("a {query} b {x}", "{query}", "chat") == Messages((Message("user", "a {query} b {x}"),))


def test_text_is_put_in_literally() -> None:
    assert teacher_prompt("Q: {query}\nA:", "{0} \\1 %s", "text") == Text("Q: {0} \\1 %s\nA:")
    assert framed("{query}", "q", "text") == Text("q")
    assert framed("Label: {query}", "q", "chat") == Messages((Message("user", "Label: q"),))


@pytest.mark.parametrize(
    ("prompt", "frame", "kind", "message"),
    [
        (" \n", "{query}", "chat", "the prompt is empty"),
        ("rules", "{query}", "text", "the prompt has no '{query}'"),
        ("{query}", "Query:", "text", "the student's prompt has no '{query}'"),
        ("rules", "Query:", "chat", "the student's prompt has no '{query}'"),
    ],
)
def test_a_prompt_without_a_place_for_the_query(prompt: str, frame: str, kind: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_prompt(prompt, frame, "text" if kind == "text" else "chat")


def test_the_hash_tells_prompts_apart() -> None:
    asked: list[Prompt] = [
        Text("a"),
        Text("b"),
        Messages((Message("user", "a"),)),
        Messages((Message("system", "a"),)),
        Text("\ud800"),
    ]
    assert len({prompt_hash(prompt) for prompt in asked}) == len(asked)


@pytest.mark.parametrize(
    ("prompt", "digits"),
    [
        (Text("a\n\ud800\u00e9"), "204a73b43bd42a93"),
        (Messages((Message("user", 'x"\n\u65e5'),)), "cc3c6e13ee9737d9"),
        (
            Messages((Message("system", "s\\"), Message("user", "q"), Message("assistant", "a"), Message("user", "r"))),
            "678b40c1f196493d",
        ),
    ],
)
def test_the_hash_of_a_prompt_never_changes_for_stored_answers_are_found_by_it(prompt: Prompt, digits: str) -> None:
    assert [prompt_hash(prompt), prompt_hash(prompt)] == [digits, digits]
