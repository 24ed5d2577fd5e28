"""Runs that are killed at random moments, again and again, end in the same bytes."""

from dataclasses import replace
from pathlib import Path

import pytest

from pdistill.core.setup.config import Config
from tests.campaign.draws import CASES, draws
from tests.runs import SECONDS, contents, fake_config
from tests.test_kill import VARIANTS, killed

pytestmark = pytest.mark.campaign
VARYING = {"timings.jsonl", "run.json", *SECONDS}


@pytest.fixture(scope="module", params=VARIANTS)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Config, int]:
    folder = tmp_path_factory.mktemp("whole")
    config = fake_config(folder, folder / "run", **VARIANTS[request.param])
    return config, killed(config, kill_at=0)


@pytest.mark.parametrize("case", CASES)
def test_a_run_that_is_killed_at_random_ends_in_the_same_bytes(
    whole: tuple[Config, int], case: int, tmp_path: Path
) -> None:
    config, moments = whole
    again, random = replace(config, run_dir=tmp_path / "run"), draws("kills", case)
    for _ in range(random.randint(1, 4)):
        killed(again, kill_at=random.randint(1, moments))
    assert killed(again, kill_at=0) > 0
    assert contents(again.directory, without=VARYING) == contents(config.directory, without=VARYING)
