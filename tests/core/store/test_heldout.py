from pathlib import Path

import pytest

from pdistill.core import pipeline
from pdistill.core.errors import RunError
from pdistill.core.store.example import Example
from pdistill.core.store.heldout import HeldOut
from pdistill.core.store.rows import read_records
from tests.runs import fake_config


def test_held_out_queries_can_be_read_repeatedly_in_order(tmp_path: Path) -> None:
    run = pipeline.generate(fake_config(tmp_path, tmp_path / "run"))
    expected = [example for example in read_records(Example, run.examples) if example.split == "eval"]
    held_out = HeldOut(run)
    assert len(held_out) == len(expected) > 2
    assert list(held_out.numbers) == [example.number for example in expected]
    for _ in range(2):
        found = list(held_out)
        assert [example for _, example in found] == expected
        assert [query.id for query, _ in found] == [example.id for example in expected]


def test_a_file_that_was_changed_is_an_error(tmp_path: Path) -> None:
    run = pipeline.generate(fake_config(tmp_path, tmp_path / "run"))
    run.examples.write_bytes(run.examples.read_bytes().replace(b'"eval"', b'"train"'))
    with pytest.raises(RunError, match="was changed after it was complete"):
        HeldOut(run)
