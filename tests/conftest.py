"""What all tests share."""

from collections.abc import Iterator

import pytest

from pdistill.core.probes import proportion


@pytest.fixture(autouse=True, scope="session")
def _all_probes() -> Iterator[None]:
    """Let runs ask all questions of the probes, which the few queries of a test would not allow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proportion, "MOST_OF_THE_PASS", 1e9)
        yield
