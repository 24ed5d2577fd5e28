r"""Escaping of untrusted text: whatever comes from queries, answers, tasks, plugins and files passes through here.

A terminal obeys control characters (C0, C1 and the sequences that begin with them), and bidirectional controls disguise
one text as another, there and in a browser. They are shown as escapes such as \x1b. Text for rich goes into
`rich.text.Text`, never into markup; text for a page is also escaped by its template.
"""

import json
import re

BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
SEPARATORS = "\u2028\u2029"
INVISIBLE = "\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"
SURROGATES = "\ud800-\udfff"
OTHERS = f"\x7f-\x9f{BIDI}{SEPARATORS}{INVISIBLE}{SURROGATES}"

HARMFUL = re.compile(f"[\x00-\x1f{OTHERS}]")
HARMFUL_IN_LINES = re.compile(f"[\x00-\x08\x0b-\x1f{OTHERS}]")
HARMFUL_IN_JSON = re.compile(f"[{OTHERS}]")


def one_line(text: str) -> str:
    """Return the text on one line, with every character that a terminal obeys escaped."""
    return HARMFUL.sub(_escape, text)


def lines(text: str) -> str:
    """Return the text with its line ends and tabs, with every other character that a terminal obeys escaped."""
    return HARMFUL_IN_LINES.sub(_escape, text)


def json_text(value: object, indent: int | None = None) -> str:
    """Return the value as JSON without any character that a terminal obeys."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return HARMFUL_IN_JSON.sub(lambda match: json.dumps(match[0])[1:-1], text)


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def code(text: str) -> str:
    """Return a name as inline code that can't break out of its cell."""
    return (
        "`"
        + "".join(char if char.isprintable() and char not in "`|" else "\N{REPLACEMENT CHARACTER}" for char in text)
        + "`"
    )
