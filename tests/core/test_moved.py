"""Every module path of 0.1 that a plugin may import works, and says where its names are now."""

import subprocess
import sys
from importlib import import_module
from types import ModuleType

import pytest

from pdistill.core.moved import MOVED, RENAMED


def public_names(module: ModuleType) -> list[str]:
    """Return the classes and functions that a module defines itself."""
    own = (name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__)
    return [name for name in own if not name.startswith("_") and callable(getattr(module, name))]


@pytest.mark.parametrize("old", MOVED)
def test_an_old_path_hands_on_the_names_of_the_new_module_and_says_where_they_are(old: str) -> None:
    new, module = import_module(MOVED[old]), import_module(old)
    names = public_names(new)
    assert names
    for name in names:
        with pytest.warns(DeprecationWarning, match=rf"{old} has moved; import {name} from pdistill") as warned:
            assert getattr(module, name) is getattr(new, name)
        place = import_module(str(warned[0].message).rpartition(" from ")[2])
        assert getattr(place, name) is getattr(new, name)


@pytest.mark.parametrize(("before", "now"), RENAMED.items())
def test_a_name_of_before_is_the_renamed_one(before: str, now: str) -> None:
    olds = [old for old, new in MOVED.items() if hasattr(import_module(new), now)]
    assert olds
    for old in olds:
        with pytest.warns(DeprecationWarning, match=rf"import {now} from pdistill\.plugin"):
            assert getattr(import_module(old), before) is getattr(import_module(MOVED[old]), now)


def test_a_name_that_never_was_is_none() -> None:
    module = import_module("pdistill.core.sampling")
    with pytest.raises(AttributeError):
        module.nothing  # noqa: B018 - the access is what is tested
    with pytest.raises(AttributeError, match=r"'pdistill\.core\.sampling' has no attribute '__all__'"):
        module.__all__  # noqa: B018


def test_a_path_that_never_was_is_not_found() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"pdistill\.core\.nothing"):
        import_module("pdistill.core.nothing")


def test_an_import_statement_warns_at_the_line_of_the_plugin() -> None:
    program = "from pdistill.core.queries import Query; print(Query('x').text)"
    command = [sys.executable, "-W", "always::DeprecationWarning", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "x\n"
    assert "<string>:1: DeprecationWarning: pdistill.core.queries has moved; import Query from pdistill.plugin" in (
        done.stderr
    )
