import gc
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pdistill.core import pipeline
from pdistill.core.results import reporting
from pdistill.core.store.rundir import find_run
from tests.backends.proxy import Proxy
from tests.backends.tinker import server as loopback
from tests.backends.tinker.runs import copy_of, small_config
from tests.backends.tinker.server import Server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need the server, and ignore the connection that the client leaves open after its start."""
    for item in items:
        if "server" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.tinker)
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running server of the Tinker API, the built-in model served as Qwen/Qwen3-30B-A3B."""
    reason = loopback.missing()
    if reason:
        pytest.skip(reason)
    with loopback.running(tmp_path_factory.mktemp("tinker")) as running:
        yield running


@pytest.fixture(scope="module")
def service(server: Server) -> Iterator[Server]:
    """The running server, with the client's environment variables pointing at it."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in loopback.environment(server.url, server.key).items():
            patch.setenv(name, value)
        yield server
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()  # reports what the client leaves open here, and not as an error at the very end


@pytest.fixture
def proxy(service: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Proxy]]:
    """Starts proxies in front of the server: `proxy(plan=..., delay=...)`; the client uses the latest one."""
    with ExitStack() as stack:

        def make(**options: Any) -> Proxy:
            made = stack.enter_context(Proxy(service.url, kind_of=loopback.kind_of, **options))
            monkeypatch.setenv("TINKER_BASE_URL", made.url)
            return made

        yield make


@pytest.fixture(scope="module")
def answered(service: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose teacher has answered, without faults."""
    folder = tmp_path_factory.mktemp("answered") / "run"
    pipeline.generate(small_config(folder))
    return folder


@pytest.fixture(scope="module")
def trained(answered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, with its student trained, without faults."""
    folder = copy_of(answered, tmp_path_factory.mktemp("trained") / "run")
    pipeline.train(find_run(str(folder)), {})
    return folder


@pytest.fixture(scope="module")
def evaluated(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, with its arms answered on the service and its report written, without faults."""
    folder = copy_of(trained, tmp_path_factory.mktemp("evaluated") / "run")
    pipeline.evaluate(find_run(str(folder)))
    reporting.report(find_run(str(folder)))
    return folder
