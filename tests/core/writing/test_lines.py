import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdistill.core.writing import lines
from pdistill.core.writing.lines import Reader

PROMPT = "Sort the messages of a workshop.\nSomething is broken or must be mended: repair"
READER = Reader(PROMPT, ("repair", "price"), "Message:")


def read(text: str, finish: str = "stop") -> list[str]:
    return [query for query, fault in READER.read(text, finish) if fault is None]


@pytest.mark.parametrize(
    "text",
    [
        "first one\nsecond one",
        "\r\n  first one \r\n\r\n second one\n",
        "1. first one\n2. second one",
        "- first one\n- second one",
        "Here are two messages:\n(1) first one\n(2) second one",
        '1) "first one"\n2) "second one"',
        "```\nfirst one\nsecond one\n```",
        "**first one**\n\u201csecond one\u201d",
        "Message: first one\nMessage 2: second one",
        "1. **User:** first one\n2. **User:** second one",
        "Q: first one\nA: an answer\nQ: second one\nA: another",
    ],
)
def test_one_query_per_line_whatever_surrounds_it(text: str) -> None:
    assert read(text) == ["first one", "second one"]


@pytest.mark.parametrize(
    "query",
    [
        "3 bolts, please",
        "12. May is fine",
        'a "quoted" word',
        '"one" and "two"',
        "12345",
        "\U0001f6b2!",
        "A. Becker called",
        "Text me: it squeaks",
        "What is to repair here?",
        "\u0645\u0631\u062d\u0628\u0627",
    ],
)
def test_a_query_stays_as_it_is(query: str) -> None:
    assert read(f"something else\n{query}\nand more\nand more yet") == [
        "something else",
        query,
        "and more",
        "and more yet",
    ]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("Sure, here are some:", lines.HEADING),
        ("---", lines.MARKUP),
        ("bell \x1b[31mred", lines.DAMAGED),
        ("a broken charact\ufffd", lines.DAMAGED),
        ("a message<|im_end|>", lines.TEMPLATE),
        ("x" * 2_001, lines.TOO_LONG),
        ("repair", lines.GIVEN_AWAY),
        ("Price: a new chain", lines.GIVEN_AWAY),
        ("my chain fell off (repair)", lines.GIVEN_AWAY),
        ("my chain fell off -> repair", lines.GIVEN_AWAY),
        ("A: come on Monday", lines.GIVEN_AWAY),
        ("**Assistant:** repair it", lines.GIVEN_AWAY),
        ("something is broken or must be mended", lines.ECHOED),
        ("Oh: sort the messages of a workshop. Now!", lines.ECHOED),
        ("no no no no no no no no no", lines.LOOPING),
    ],
)
def test_invalid_queries_are_left_out_with_the_reason(line: str, fault: str) -> None:
    assert [found for _, found in READER.read(f"{line}\na good one", "stop")] == [fault, None]


def test_the_last_line_of_an_answer_that_was_cut_off_is_not_trusted() -> None:
    assert list(READER.read("a good one\nanother go", "length")) == [
        ("a good one", None),
        ("another go", lines.CUT),
    ]
    assert list(READER.read("", "error")) == [("", lines.NO_ANSWER)]


@given(st.text(), st.sampled_from(["stop", "length", "error"]))
def test_any_text_can_be_read(text: str, finish: str) -> None:
    for query in (query for query, fault in READER.read(text, finish) if fault is None):
        assert query.strip() == query != ""
        assert "\n" not in query
