r"""Foreign text made harmless: whatever comes from queries, answers, tasks, plugins and files passes through here.

A terminal obeys control characters (C0, C1 and the sequences that begin with them), and bidirectional controls show
one text as another, there and in a browser. They appear as escapes such as \x1b. Text for rich goes into
`rich.text.Text`, never into markup; text for a page is escaped by its template besides.
"""

import json
import re
from typing import Any

BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
SEPARATORS = "\u2028\u2029"
INVISIBLE = "\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"
SURROGATES = "\ud800-\udfff"
OTHERS = f"\x7f-\x9f{BIDI}{SEPARATORS}{INVISIBLE}{SURROGATES}"

HARMFUL = re.compile(f"[\x00-\x1f{OTHERS}]")
HARMFUL_IN_LINES = re.compile(f"[\x00-\x08\x0b-\x1f{OTHERS}]")
HARMFUL_IN_JSON = re.compile(f"[{OTHERS}]")


def one_line(text: str) -> str:
    """Return the text in one line, without a character that a terminal obeys."""
    return HARMFUL.sub(_escaped, text)


def lines(text: str) -> str:
    """Return the text with its line ends and tabs, without any other character that a terminal obeys."""
    return HARMFUL_IN_LINES.sub(_escaped, text)


def json_text(value: Any, indent: int | None = None) -> str:
    """Return the value as JSON that holds no character that a terminal obeys."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return HARMFUL_IN_JSON.sub(lambda found: json.dumps(found[0])[1:-1], text)


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
