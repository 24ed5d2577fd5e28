"""The openai backend passes the public checks of a teacher; it has no student for the other checks."""

from pathlib import Path

import pytest

from pdistill.backends.openai import OpenAIOptions, create
from pdistill.testing import check_backend, teacher_checks
from tests.backends.openai.toy import MODEL, Toy


@pytest.mark.parametrize("check", teacher_checks())
def test_openai_backend_passes_the_checks(check: str, toy: Toy, tmp_path: Path) -> None:
    backend = create(OpenAIOptions())
    check_backend(backend, check, teacher_model=MODEL, student_model=MODEL, directory=tmp_path)
