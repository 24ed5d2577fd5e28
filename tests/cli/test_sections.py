from collections.abc import Callable

import pytest
from click.testing import Result

SECTIONS = [
    "Task and queries:",
    "Answers:",
    "Models:",
    "Teacher sampling:",
    "Training:",
    "Run directory:",
    "Cost:",
    "Output:",
]


def headings(help: str) -> list[str]:
    return [line for line in help.splitlines() if line.endswith(":") and not line.startswith(" ")]


@pytest.mark.parametrize("command", ["run", "generate"])
def test_the_help_lists_the_options_by_section(call: Callable[..., Result], command: str) -> None:
    help = call(command, "--help").stdout
    assert headings(help) == SECTIONS
    answers = help.partition("Answers:")[2].partition("Models:")[0]
    assert "--labels A,B,C" in answers
    assert "--epochs" not in answers


def test_the_sections_are_aligned(call: Callable[..., Result]) -> None:
    lines = call("run", "--help").stdout.splitlines()
    for flag, help in (
        ("--task NAME", "Installed"),
        ("--labels A,B,C", "Allowed"),
        ("--json", "Write"),
        ("-h, --help", "Show"),
    ):
        (line,) = [line for line in lines if line.strip().startswith(f"{flag} ")]
        assert line.index(help) == 30


def test_the_last_sections_of_queries(call: Callable[..., Result]) -> None:
    assert headings(call("queries", "--help").stdout)[-2:] == ["Logs:", "Output:"]
