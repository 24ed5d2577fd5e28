import pickle

import pytest

from pdistill.core.errors import ContextError, PdistillError, UsageError, not_installed


@pytest.mark.parametrize("error", [ContextError(3, 100, 20, 8, 64), ContextError.told(3, "too long")])
def test_a_context_error_survives_pickling(error: ContextError) -> None:
    error.name = "id-3"
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is ContextError
    assert (copy.number, copy.name, str(copy)) == (3, "id-3", str(error))
    assert "query 'id-3' does not fit" in str(copy)


def test_a_usage_error_is_a_value_error_too() -> None:
    with pytest.raises(ValueError, match="no such option") as caught:
        raise UsageError("no such option")
    assert isinstance(caught.value, PdistillError)
    assert caught.value.exit_code == 2


def test_a_missing_package_is_named_with_the_command_that_adds_its_extra() -> None:
    known = "--mask needs the package 'stdnum', which is not installed; run: pip install 'pdistill[mask]'"
    assert not_installed("--mask", "mask", "stdnum") == known
    assert not_installed("x", "y") == "x needs packages that are not installed; run: pip install 'pdistill[y]'"
