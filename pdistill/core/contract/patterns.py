"""Regular expressions that a user gives: compiled and matched within bounds, whatever they are."""

import re
from functools import lru_cache
from typing import Any

from pdistill.core.errors import TaskError, UsageError

MATCH_TIMEOUT = 5.0
"""Seconds that matching a pattern against one answer may take; some patterns need years for a few dozen characters."""
FIRST_TIMEOUT = 1.0
"""Seconds for the empty text, on which only a pattern that calls itself takes any time."""
LARGEST = 100_000
"""Characters of a pattern when its repetitions are written out, which is what compiling it costs."""
PARTS = re.compile(r"\\.|(?P<open>\()|(?P<close>\))|\{(?P<times>\d{1,12})(?:,\d*)?\}|.", re.DOTALL)


@lru_cache(maxsize=1000)
def compiled(pattern: str, where: str = "") -> Any:
    """Return the compiled pattern of the package `regex`; it takes about a second at most.

    Args:
        where: what follows it in error messages, such as " of 'schema.json'".

    Raises:
        UsageError: it is not a valid regular expression, too large, nested too deeply, or calls itself endlessly.
    """
    import regex

    named = f"the pattern {shortened(pattern)}{where}"
    if _written_out(pattern) > LARGEST:
        raise UsageError(
            f"{named} is over {LARGEST:,} characters long with its repetitions; use + or * for long answers"
        )
    try:
        made = regex.compile(pattern)
        made.fullmatch("", timeout=FIRST_TIMEOUT)
    except regex.error as error:
        raise UsageError(
            f"{named} is not a valid regular expression: {error.msg} at position {error.pos}; "
            "see docs.python.org/3/library/re.html"
        ) from None
    except RecursionError:
        raise UsageError(f"{named} is nested too deeply; write it with fewer parentheses") from None
    except (TimeoutError, MemoryError):
        raise UsageError(f"{named} calls itself endlessly; put what it must match before the call") from None
    return made


def matches(match: Any, pattern: str, text: str) -> bool:
    """Return whether the `match` function of a compiled pattern matches the text.

    Raises:
        TaskError: it takes too long.
    """
    try:
        return match(text, timeout=MATCH_TIMEOUT) is not None
    except (TimeoutError, MemoryError):
        raise TaskError(
            f"matching the pattern {shortened(pattern)} took over {MATCH_TIMEOUT:g} s on the answer {text[:40]!r}; avoid "
            "nested repetitions such as (a|aa)+ and start a new run, which reuses the answers with --from"
        ) from None


def shortened(pattern: str) -> str:
    """Return the pattern in quotes, cut off where it is long."""
    return repr(pattern if len(pattern) <= 60 else f"{pattern[:57]}...")


def _written_out(pattern: str) -> int:
    """Return the least length of the pattern with its counted repetitions written out; brackets count as characters."""
    groups, last = [0], 0
    for part in PARTS.finditer(pattern):
        if part["open"]:
            groups.append(0)
        elif part["times"]:
            groups[-1] += last * max(int(part["times"]) - 1, 0)
        else:
            last = (groups.pop() if len(groups) > 1 else groups[0]) if part["close"] else 1
            groups[-1] += last
    return sum(groups)
