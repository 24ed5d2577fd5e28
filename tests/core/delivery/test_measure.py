from pathlib import Path

import pytest

from pdistill.core.delivery.measure import measure
from pdistill.core.errors import BackendError
from pdistill.core.progress import Silent
from tests.backends.local_runs import run_student
from tests.run_builder import build_run, outcomes


def test_a_backend_that_can_not_serve(tmp_path: Path) -> None:
    run = build_run(tmp_path / "run", outcomes(f"query {at}" for at in range(20)))
    with pytest.raises(BackendError, match="can't export"):
        measure(run, 2, Silent())


@pytest.mark.slow
@pytest.mark.parametrize(("family", "frame"), [("llama", "{query}"), ("gpt2", "{query} is")])
def test_both_sides_are_asked_the_same_queries(tmp_path: Path, family: str, frame: str) -> None:
    figures = measure(run_student(tmp_path, family, frame).directory, 4, Silent())
    assert (figures["requests"], figures["clients"]) == (4, 4)
    for side in ("student", "base_prompted"):
        assert figures[side]["first_token_seconds"] > 0
        assert figures[side]["requests_per_second"] > 0
    assert figures["base_prompted"]["prompt_tokens"] > figures["student"]["prompt_tokens"] + 10
