"""The tinker backend passes the checks that are public for plugin authors, with the real client and a server on loopback."""

from pathlib import Path

import pytest

from pdistill.backends.tinker import TinkerOptions, create
from pdistill.testing import backend_checks, check_backend
from tests.backends.tinker.server import BUILTIN, MODEL, Server


@pytest.mark.parametrize("check", backend_checks())
def test_tinker_backend_passes_the_checks(check: str, service: Server, tmp_path: Path) -> None:
    backend = create(TinkerOptions(tokenizer=str(BUILTIN), base=str(BUILTIN), window=32))
    check_backend(backend, check, teacher_model=MODEL, student_model=MODEL, directory=tmp_path, exact=False)
