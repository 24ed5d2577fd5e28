import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Call


@pytest.mark.parametrize("command", ["serve", "measure"])
def test_a_fake_student_can_not_be_served(call: Call, finished: Path, command: str) -> None:
    said = call(command, finished)
    assert (said.exit_code, said.stdout) == (1, "")
    assert "can't export" in said.stderr
    assert not (finished / "merged").exists()


def test_missing_parts_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from pdistill.core.errors import BackendError

    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "pdistill.backends.local.export.serving", raising=False)
    with pytest.raises(BackendError, match=r"run: pip install 'pdistill\[serve\]'"):
        import pdistill.backends.local.export.serving  # noqa: F401
