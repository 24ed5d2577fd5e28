from collections.abc import Iterator

import pytest

from tests.backends.openai.toy import KEY, Toy


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Toy]:
    """A server whose address and key are in the environment variables."""
    with Toy() as running:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{running.url}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        yield running
