"""What is settled before a student is served; the server itself is tested with its backend."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pdistill.core.contract.sampling import Sampling
from pdistill.core.delivery import serve
from pdistill.core.errors import BackendError
from pdistill.core.progress import Silent
from pdistill.core.store.rundir import RunDirectory


class Exporter:
    """An exporter that can't serve, or records how it was asked to."""

    def __init__(self) -> None:
        self.given: dict[str, Any] = {}

    def check_serving(self) -> None:
        raise BackendError("serving needs packages that are not installed")

    def serve_export(self, *arguments: Any, **given: Any) -> None:
        self.given = given


def test_missing_packages_are_named_before_the_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "trained_student", lambda run: SimpleNamespace(sampling=Sampling()))
    monkeypatch.setattr(serve, "exporter_of", lambda trained: Exporter())
    monkeypatch.setattr(serve, "export", lambda *_, **__: pytest.fail("exported"))
    with pytest.raises(BackendError, match="packages that are not installed"):
        serve.servable(RunDirectory(tmp_path), Silent())


def test_exporters_of_earlier_versions_get_no_options_that_they_do_not_know(tmp_path: Path) -> None:
    exporter: Any = Exporter()
    servable = serve.Servable(exporter, tmp_path, Sampling(), "kinds")
    servable.serve("127.0.0.1", 0, print)
    assert exporter.given == {}
    servable.serve("127.0.0.1", 0, print, ["proxy"], ignore_system=True)
    assert exporter.given == {"allowed": ["proxy"], "ignore_system": True}
