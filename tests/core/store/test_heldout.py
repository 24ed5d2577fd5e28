from pathlib import Path

import pytest

from pdistill.core.errors import RunError
from pdistill.core.store.heldout import HeldOut
from pdistill.core.store.rundir import RunDirectory
from tests.run_builder import build_run, outcomes

ROWS = outcomes(f"query {at}" for at in range(30))
HELD_OUT = [row for row in ROWS if row.split == "eval"]


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return build_run(tmp_path / "run", ROWS, until="generate")


def test_held_out_queries_can_be_read_repeatedly_in_order(run: RunDirectory) -> None:
    held_out = HeldOut(run)
    assert len(held_out) == len(HELD_OUT) == 6
    assert list(held_out.numbers) == [row.query.number for row in HELD_OUT]
    for _ in range(2):
        assert list(held_out) == [(row.query, row.example()) for row in HELD_OUT]


def test_some_of_them_are_read_by_their_positions(run: RunDirectory) -> None:
    assert [query.number for query, _ in HeldOut(run).at({1, 4})] == [5, 20]


def test_a_file_that_was_changed_is_an_error(run: RunDirectory) -> None:
    run.examples.write_bytes(run.examples.read_bytes().replace(b'"eval"', b'"train"'))
    with pytest.raises(RunError, match="was changed after it was complete"):
        HeldOut(run)


def test_an_example_that_is_none_names_its_line(run: RunDirectory) -> None:
    lines = run.examples.read_bytes().splitlines(keepends=True)
    lines[7] = b'{"number": 7}\n'
    run.examples.write_bytes(b"".join(lines))
    run.seal(run.examples)
    with pytest.raises(RunError, match=r"examples.jsonl, line 8: not a row"):
        HeldOut(run)
