"""Checks the project's English by the rules in docs/words.toml: `python docs/check_words.py [PATH ...]`.

Prose is the text of Markdown outside of code and program output, and in Python that of comments, docstrings and string
literals with a space in them; of tests, only names and ids are checked. Each finding is printed as FILE:LINE: 'found' -> 'write this instead'.
"""

import re
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
RULES = Path(__file__).with_name("words.toml")
CODE = "\0"  # replaces what is not prose in a line; no rule matches it
END = r"\s*(?:[.;:,)?|\0]|$)"  # the end of a clause, written END in a pattern
PROSE = re.compile(
    r"""(?P<comment>\#[^\n]*)|(?P<prefix>\b[rbfuRBFU]{1,2}|)(?P<quotes>\"{3}|'{3}|\"|')(?P<string>(?:[^\\"']++|\\.|["'])*?)(?P=quotes)""",
    re.DOTALL,
)
BACKQUOTED = re.compile(r"`[^`]*`")
TEST_ID = re.compile(r"(?m)(?<=^def test_)\w+|(?<=\bid=\")[^\"]*")


class Rule(NamedTuple):
    """What not to write, what to write instead, and why; a sentence that breaks the rule, and some that don't."""

    pattern: str
    write: str
    why: str
    example: str
    clean: list[str]
    allow: Sequence[str] = ()  # the exact phrases in which the words are fine
    code: bool = False  # the rule is about Python source as it is

    def findings(self, text: str) -> Iterator[tuple[int, str]]:
        """Yield the line and the words of every violation in a text, which is in lower case unless it is code."""
        found = spans(self.pattern.replace("END", END), text)
        allowed = [
            span for phrase in self.allow if found for span in spans(re.escape(phrase).replace("\\ ", " "), text)
        ]
        for start, end in found:
            if not any(first <= start and end <= last for first, last in allowed):
                yield text.count("\n", 0, start) + 1, " ".join(text[start:end].split())


class Words(NamedTuple):
    """The contents of words.toml: what is checked when no path is given, what never is, and the rules."""

    paths: list[str]
    skip: list[str]
    rules: list[Rule]


def spans(pattern: str, text: str) -> list[tuple[int, int]]:
    """Return where a pattern matches, with a space for any whitespace."""
    return [match.span() for match in re.finditer(pattern.replace(" ", r"\s+"), text)]


def read_words() -> Words:
    """Return the rules and the paths that they apply to."""
    data = tomllib.loads(RULES.read_text("utf-8"))
    return Words(data["paths"], data["skip"], [Rule(**rule) for rule in data["rule"]])


def markdown_prose(text: str) -> str:
    """Return Markdown with everything blanked that is not prose: program output, code, comments and link targets."""
    for pattern in (
        r"<!-- output.*?<!-- end of output -->",
        r"^```.*?^```$",
        r"^ {4,}(?![-*\d|]).*?$",
        r"<!--.*?-->",
        r"(?<=\])\([^)\s]*\)",
        r"`[^`]*`",
    ):
        text = re.sub(pattern, blank, text, flags=re.MULTILINE | re.DOTALL)
    return text


def python_prose(source: str) -> str:
    """Return a module in which only the words of comments and strings are left, on their lines."""
    return only(PROSE, comment_or_string, source)


def comment_or_string(match: re.Match[str]) -> str:
    """Return the words of a comment or of a string, without marks and fields; a string of one word is a value, so code."""
    if match["comment"]:
        return BACKQUOTED.sub(blank, match[0].replace("#", " "))
    prefix, quotes, words = match["prefix"], match["quotes"], match["string"]
    if not re.search(r"\s", words.strip()):
        return code(match[0])
    words = BACKQUOTED.sub(blank, words.replace("\\n", "  "))
    if "f" in prefix.lower():
        words = re.sub(r"\{[^{}]*\}", blank, words)
    return " " * len(prefix + quotes) + words + " " * len(quotes)


def test_ids(source: str) -> str:
    """Return a test module in which only the names and the ids of tests are left, as words."""
    return only(TEST_ID, lambda match: match[0].replace("_", " "), source)


def only(pattern: re.Pattern[str], words: Callable[[re.Match[str]], str], source: str) -> str:
    """Return a text in which everything is code but the words of what a pattern matches."""
    parts = []
    end = 0
    for match in pattern.finditer(source):
        parts += [code(source[end : match.start()]), words(match)]
        end = match.end()
    return "".join([*parts, code(source[end:])])


def blank(match: re.Match[str]) -> str:
    """Return code in the place of what was matched."""
    return code(match[0])


def code(text: str) -> str:
    """Return code on as many lines as a text has; whitespace alone stays what it is."""
    return text if text.isspace() else re.sub(r"[^\n]+", CODE, text)


def prose(path: Path) -> str:
    """Return the prose of a file, each word on its line."""
    text = path.read_text("utf-8")
    if "tests" in path.relative_to(ROOT).parts:
        return test_ids(text)
    return {".py": python_prose, ".md": markdown_prose}.get(path.suffix, str)(text)


def files(paths: list[Path], skip: list[str]) -> Iterator[Path]:
    """Yield the files to be checked under some paths, sorted by name."""
    for path in paths:
        for file in [path] if path.is_file() else sorted([*path.rglob("*.md"), *path.rglob("*.py")]):
            if str(file.relative_to(ROOT)) not in skip:
                yield file


def findings(path: Path, rules: list[Rule]) -> list[tuple[int, str, Rule]]:
    """Return the line, the words and the rule of every violation in a file, sorted by line."""
    source = path.read_text("utf-8") if path.suffix == ".py" else ""
    words = prose(path).lower()
    found = [(line, text, rule) for rule in rules for line, text in rule.findings(source if rule.code else words)]
    return sorted(found, key=lambda finding: finding[0])


def main(arguments: list[str]) -> int:
    """Print the findings in the given paths, by default in all that are checked; return 1 if there are any, else 0."""
    words = read_words()
    paths = [Path(name).resolve() for name in arguments] or [ROOT / name for name in words.paths]
    count = 0
    for path in files(paths, words.skip):
        for line, text, rule in findings(path, words.rules):
            count += 1
            print(f"{path.relative_to(ROOT)}:{line}: {text!r} -> {rule.write!r}")
    if count:
        print(f"{count} findings; the reasons are in docs/{RULES.name}", file=sys.stderr)
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
