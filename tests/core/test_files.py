import os
from pathlib import Path

import pytest

from pdistill.core.errors import RunError
from pdistill.core.files import digest, new_directory, write_file


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_directory_has_its_name_only_once_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "adapter"
    with new_directory(target) as directory:
        assert list(directory.iterdir()) == []
        (directory / "weights").write_text("1")
        (directory / "inner").mkdir()
        assert not target.exists()
    assert names(target) == ["inner", "weights"]
    assert names(tmp_path / "deep") == ["adapter"]


def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "adapter"
    target.mkdir()
    (target / "old").write_text("old")

    def fill(directory: Path) -> None:
        (directory / "new").write_text("new")
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"), new_directory(target) as directory:
        fill(directory)
    assert names(tmp_path) == ["adapter"]
    assert names(target) == ["old"]


def test_a_directory_replaces_the_one_before_and_the_rest_of_a_killed_attempt(tmp_path: Path) -> None:
    target = tmp_path / "adapter"
    for directory, file in ((target, "old"), (tmp_path / "adapter.part", "half")):
        directory.mkdir()
        (directory / file).write_text(file)
    with new_directory(target) as directory:
        assert list(directory.iterdir()) == []
        (directory / "new").write_text("new")
    assert names(tmp_path) == ["adapter"]
    assert names(target) == ["new"]


def test_a_directory_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(RunError, match=r"can't use '.*/file/adapter': not a directory"),
        new_directory(tmp_path / "file" / "adapter"),
    ):
        pass
    with (
        pytest.raises(RunError, match=r"can't use '.*/adapter': no space left on device"),
        new_directory(tmp_path / "adapter"),
    ):
        raise OSError(28, os.strerror(28))
    assert names(tmp_path) == ["file"]


def test_a_file_is_replaced_whole_and_known_by_its_hash(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_file(path, b"old")
    write_file(path, b"abc")
    assert names(tmp_path) == ["file"]
    assert digest(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(RunError, match="can't use .*: no such file or directory"):
        digest(tmp_path / "gone")
