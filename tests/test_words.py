"""The word list finds its examples, and nothing else."""

from pathlib import Path
from runpy import run_path
from typing import Any

import pytest

WORDS: dict[str, Any] = run_path(str(Path(__file__).parents[1] / "docs" / "check_words.py"))
RULES = WORDS["read_words"]().rules


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that checks one file and returns what is printed, line by line."""
    monkeypatch.setitem(WORDS["main"].__globals__, "ROOT", tmp_path)

    def printed(name: str, text: str) -> list[str]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        code = WORDS["main"]([str(path)])
        lines: list[str] = capsys.readouterr().out.splitlines()
        assert code == bool(lines)
        return lines

    return printed


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.example)
def test_a_rule_finds_its_example(check: Any, rule: Any) -> None:
    text = rule.example if rule.code else f'"""{rule.example}"""\n'
    (line,) = check("module.py", text)
    assert line.startswith("module.py:1: ")
    assert line.endswith(f" -> {rule.write!r}")


@pytest.mark.parametrize("text", [text for rule in RULES for text in [*rule.clean, *rule.allow]])
def test_clean_text_passes(check: Any, text: str) -> None:
    assert check("page.md", f"{text}\n") == []


def test_words_are_found_across_lines(check: Any) -> None:
    assert check("page.md", "one\nIt costs 5 USD at\nthe most.\n") == [
        "page.md:2: 'at the most' -> 'at most / at least'"
    ]
    assert len(check("module.py", "# nats a\n# token\n")) == 1
    assert len(check("module.py", 'raise Error(\n    "some nats "\n    f"a token"\n)\n')) == 1


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("```text\nnats a token\n```\n", id="fenced block"),
        pytest.param("<!-- output of it -->\nnats a token\n<!-- end of output -->\n", id="program output"),
        pytest.param("the key `nats a token`\n", id="code in a line"),
        pytest.param("[it](nats-shall-mend.md)\n", id="link target"),
    ],
)
def test_code_in_markdown_is_left_alone(check: Any, text: str) -> None:
    assert check("page.md", text) == []


@pytest.mark.parametrize(
    "text",
    ["commonest = shall.mend\n", "select = 'commonest'\n", 'say(f"{shall(1)} tokens")\n', "goes, on = 'goes', 'on'\n"],
)
def test_names_and_values_in_python_are_left_alone(check: Any, text: str) -> None:
    assert check("module.py", text) == []


def test_only_the_names_and_ids_of_tests_are_checked(check: Any) -> None:
    assert check("tests/test_it.py", 'def test_it_runs() -> None:\n    """It goes on."""\n') == []
    assert len(check("tests/test_it.py", "def test_it_goes_on() -> None: ...\n")) == 1
    phrase = "it goes on"
    assert len(check("tests/test_it.py", f'pytest.param(1, id="{phrase}")\n')) == 1
