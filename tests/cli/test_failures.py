import errno

import click
import pytest

from pdistill.cli.failures import explain, failed
from pdistill.core.errors import RunError, UsageError


@pytest.mark.parametrize(
    ("error", "line", "code"),
    [
        (UsageError("no \x1b[31mred\nplease"), "error: no \\x1b[31mred\\nplease", 2),
        (RunError("it is locked"), "error: it is locked", 1),
        (click.UsageError("Missing argument 'RUN'."), "error: missing argument 'RUN'", 2),
        (OSError(errno.ENOSPC, "No space left on device", "/x\n"), "error: '/x\\n': no space left on device", 1),
        (
            ValueError("a\nb"),
            "error: unexpected ValueError: a\\nb; run again with PDISTILL_TRACEBACK=1 for a traceback",
            1,
        ),
        (AssertionError(), "error: unexpected AssertionError; run again with PDISTILL_TRACEBACK=1 for a traceback", 1),
    ],
)
def test_a_failure_is_one_line(
    error: Exception, line: str, code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PDISTILL_TRACEBACK", raising=False)
    assert failed(error, ["run"]) == code
    assert capsys.readouterr() == ("", f"{line}\n")


def test_traceback_is_shown_on_request(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PDISTILL_TRACEBACK", "1")
    with pytest.raises(ValueError, match="why") as caught:
        raise ValueError("why")
    assert failed(caught.value, []) == 1
    assert 'raise ValueError("why")' in capsys.readouterr().err


def test_an_unexpected_end_of_input_is_not_a_stop() -> None:
    stopped = click.Abort()
    stopped.__cause__ = EOFError("no more")
    assert explain(stopped).startswith("unexpected EOFError: no more")
    assert failed(stopped, ["run"]) == 1
