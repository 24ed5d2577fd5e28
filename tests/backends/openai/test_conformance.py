"""The openai backend passes the public checks of a teacher; it has no student for the others."""

from pathlib import Path

import pytest

from pdistill.backends.openai import OpenAIOptions, create
from pdistill.testing import backend_checks, check_backend
from tests.backends.openai.toy import MODEL, Toy

OF_STUDENTS = {"renders_targets", "renders_prompts", "tells_renderers_apart", "scores_tokens"}
OF_TEACHERS = [
    "answers_each_request_once", "answers_do_not_depend_on_order", "ends_at_stop_texts", "says_what_was_cut_off",
    "counts_tokens", "draws_as_asked", "holds_a_window", "names_what_does_not_fit",
    "refuses_models_that_are_not_there", "resolves_once", "tells_prices",
]  # fmt: skip


@pytest.mark.parametrize("check", OF_TEACHERS)
def test_the_openai_backend_keeps_its_promises(check: str, toy: Toy, tmp_path: Path) -> None:
    backend = create(OpenAIOptions())
    check_backend(backend, check, teacher_model=MODEL, student_model=MODEL, directory=tmp_path)


def test_no_check_of_a_teacher_is_left_out() -> None:
    from pdistill.testing import training

    assert set(OF_TEACHERS) == set(backend_checks()) - OF_STUDENTS - {check.__name__ for check in training.CHECKS}
