import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pdistill.cli.escape import json_text, lines, one_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain äöü 中文 عربي 👍🏽 \N{ZERO WIDTH NON-JOINER}", "plain äöü 中文 عربي 👍🏽 \N{ZERO WIDTH NON-JOINER}"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("a\r\nb\tc", "a\\r\\nb\\tc"),
        ("\u202eabc\u2066", "\\u202eabc\\u2066"),
        ("\u2028\ud800\U000e0041", "\\u2028\\ud800\\U000e0041"),
        ("[bold]x[/bold]", "[bold]x[/bold]"),
    ],
)
def test_what_a_terminal_obeys_is_escaped(text: str, shown: str) -> None:
    assert one_line(text) == shown


def test_lines_keep_their_ends() -> None:
    assert lines("a\n\tb\r\x1b") == "a\n\tb\\r\\x1b"


@given(st.text(st.characters()))
def test_json_holds_nothing_harmful_and_loses_nothing(text: str) -> None:
    written = json_text({"text": text})
    assert one_line(written) == written
    assert json.loads(written) == {"text": text}


@given(st.text())
def test_one_line_is_printable_in_one_line(text: str) -> None:
    assert len(one_line(text).splitlines()) <= 1
    assert not set(one_line(text)) & {chr(code) for code in (*range(32), *range(127, 160))}
