"""The local backend passes the checks that are public for plugin authors; fake and tinker do in files of their own."""

from pathlib import Path

import pytest

from pdistill.backends.local.backend import LocalBackend
from pdistill.backends.local.options import LocalOptions
from pdistill.testing import backend_checks, check_backend


@pytest.mark.parametrize("check", backend_checks())
def test_local_backend_passes_the_checks(check: str, tmp_path: Path) -> None:
    backend = LocalBackend(LocalOptions())
    check_backend(backend, check, teacher_model="builtin", student_model="builtin", directory=tmp_path)
