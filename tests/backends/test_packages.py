import pytest

from pdistill.backends.packages import needing
from pdistill.core.errors import BackendError


def test_a_missing_package_names_the_extra_that_brings_it() -> None:
    with (
        pytest.raises(BackendError, match=r"backend x needs the package 'absent.part', .* pip install 'pdistill\[x\]'"),
        needing("x", ("absent",)),
    ):
        raise ModuleNotFoundError(name="absent.part")


def test_other_missing_modules_are_not_installation_errors() -> None:
    with pytest.raises(ModuleNotFoundError), needing("x", ("absent",)):
        raise ModuleNotFoundError(name="pdistill.wrong")
