import json
from collections.abc import Callable

import pytest
from click.testing import Result

from pdistill.core.contract.optionfields import options_of
from pdistill.core.contract.plugins import installed

Call = Callable[..., Result]


def test_tasks_are_listed_and_shown(call: Call) -> None:
    assert "langid" in call("tasks").stdout
    assert [row["name"] for row in json.loads(call("tasks", "--json").stdout)] == ["langid"]
    row = json.loads(call("tasks", "langid", "--json").stdout)
    assert len(row["labels"]) == 13
    assert row["queries"] > 2_000
    assert row["slices"]["code"] >= 150
    shown = call("tasks", "langid").stdout
    assert row["prompt"] in shown
    assert f"queries: {row['queries']:,}" in shown


def test_an_unknown_task_suggests_the_nearest(call: Call) -> None:
    result = call("tasks", "langdi")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "did you mean 'langid'?" in result.stderr


def test_backends_are_listed_with_their_options(call: Call) -> None:
    rows = {row["name"]: row for row in json.loads(call("backends", "--json").stdout)}
    assert {"fake", "local"} <= set(rows)
    assert rows["local"]["options"]["device"] == "auto"
    assert rows["local"]["options"]["alpha"] is None
    shown = " ".join(call("backends").stdout.split())
    assert "-B window=32 Concurrent requests [integer, at least 1 and at most 10,000]" in shown
    assert "-B api=auto Endpoint for text prompts" in shown
    assert "-B shuffle=false Return answers out of order, within a window [true|false]" in shown


def test_every_option_of_a_backend_has_its_help_within_80_columns(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, call("backends").stdout.splitlines())) <= 80
    for name in ("fake", "local", "openai", "tinker"):
        assert all(option.spec.help for option in options_of(installed().backends[name].options))


def test_plugins_say_where_they_come_from(call: Call) -> None:
    rows = {row["name"]: row for row in json.loads(call("plugins", "--json").stdout)}
    assert rows["langid"]["distribution"] == "pdistill"
    assert rows["langid"]["module"] == "pdistill.tasks.langid"
    assert rows["langid"]["problem"] is None
    assert "pdistill.backends.fake" in call("plugins").stdout
