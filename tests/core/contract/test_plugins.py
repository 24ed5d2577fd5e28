import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from pdistill.core.contract.hookspecs import hookimpl
from pdistill.core.contract.plugins import installed, load
from pdistill.core.contract.registry import Registry
from pdistill.core.contract.task import FileTask, Task
from pdistill.core.errors import PluginError, UsageError


def module(name: str, *tasks: str, error: Exception | None = None) -> ModuleType:
    made = ModuleType(name)

    @hookimpl(specname="pdistill_register_tasks")
    def register(tasks: Registry[Task]) -> None:
        for task in names:
            tasks.register(task, lambda options: FileTask(), summary="made by a test")
        if error:
            raise error

    names = tasks
    made.register = register  # type: ignore[attr-defined]
    return made


@pytest.fixture
def points() -> Iterator[dict[str, EntryPoint]]:
    made = {
        "good": module("test_good", "alpha"),
        "twin": module("test_twin", "alpha"),
        "broken": module("test_broken", "beta", error=RuntimeError("no luck\nsecond line")),
        "shouting": module("test_shouting", "GAMMA"),
    }
    sys.modules.update({f"test_{name}": value for name, value in made.items()})
    yield {name: EntryPoint(name, f"test_{name}", "pdistill") for name in [*made, "absent"]}
    for name in made:
        del sys.modules[f"test_{name}"]


def test_the_projects_own_plugins_are_there() -> None:
    there = installed()
    assert {"fake", "local"} <= {entry.name for entry in there.backends}
    assert "langid" in there.tasks
    assert there.problems == []


def test_a_plugin_registers_its_task(points: dict[str, EntryPoint]) -> None:
    loaded = load([points["good"]])
    assert loaded.tasks["alpha"].plugin == "good"
    assert loaded.problems == []


def test_a_broken_plugin_is_named_and_skipped_whole(points: dict[str, EntryPoint]) -> None:
    loaded = load([points["broken"], points["absent"], points["shouting"], points["good"]])
    assert [entry.name for entry in loaded.tasks] == ["alpha"]
    broken, absent, shouting = loaded.problems
    assert broken == "plugin broken of an unknown distribution is skipped: RuntimeError: no luck"
    assert "No module named 'test_absent'" in absent
    assert "the task name 'GAMMA' is not made of lower-case letters" in shouting


def test_two_plugins_with_one_name_are_an_error(points: dict[str, EntryPoint]) -> None:
    with pytest.raises(PluginError, match="two plugins register the task 'alpha': good and twin"):
        load([points["good"], points["twin"]])


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown task 'langud', did you mean 'langid'.*choose from .*langid"):
        installed().tasks["langud"]
