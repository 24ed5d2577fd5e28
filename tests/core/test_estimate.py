from pathlib import Path

import pytest

from pdistill.core.contract.interfaces import TrainingDefaults
from pdistill.core.contract.prompts import Message, Messages
from pdistill.core.estimate import _most_training_tokens
from pdistill.core.numerics.schedule import plan
from pdistill.core.preview import preview
from tests.runs import fake_config

PRICES = {"price_prompt": "3", "price_sampled": "15", "price_trained": "6"}


def test_a_prompt_that_only_the_service_can_count_is_estimated_from_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = fake_config(tmp_path, tmp_path / "run", backend_options=PRICES)
    exact = preview(config)
    monkeypatch.setattr("pdistill.backends.fake.FakeTeacher.renderer", lambda self: None)
    above = preview(config)
    assert above.prompt_teacher is None
    assert above.cost["generate"]["prompt_tokens"] > exact.cost["generate"]["prompt_tokens"]
    first = Messages((Message("system", "Name the kind."), Message("user", "apples")))
    assert sum(len(message.content) for message in first.messages) < above.cost["generate"]["prompt_tokens"]


def test_most_expensive_training_may_have_fewer_examples(tmp_path: Path) -> None:
    defaults = TrainingDefaults(min_steps=75, batch_size=128, epochs=4)
    config = fake_config(tmp_path, tmp_path / "run")

    def visits(count: int) -> int:
        schedule, _ = plan(count, defaults, batch_size=None, epochs=None, learning_rate=None, seed=0)
        return count * schedule.epochs

    assert visits(144) > visits(150)
    assert _most_training_tokens([0] * 150, 1, defaults, config) == max(map(visits, range(1, 151))) > visits(150)
    assert _most_training_tokens([1, 9], 1, TrainingDefaults(min_steps=1, epochs=1), config) == 12
