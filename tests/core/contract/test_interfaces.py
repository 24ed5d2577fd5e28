import pytest

from pdistill.backends.fake import FakeBackend
from pdistill.core.contract.interfaces import Capability, Teacher, capabilities_of

ABLE: frozenset[Capability] = frozenset(("generate", "score"))


def test_capabilities_are_those_that_the_model_declares() -> None:
    teacher: Teacher = FakeBackend().teacher("rule")
    assert capabilities_of(teacher) == {"generate", "score", "constrain-labels"}


def test_a_model_of_0_1_declares_them_as_can_and_is_told_the_new_name() -> None:
    class Before:
        """A teacher as plugins of 0.1 have it."""

        id = "old"
        can = ABLE
        renderer = sampler = None

    model: object = Before()
    with pytest.warns(DeprecationWarning, match=r"^Before\.can is called capabilities"):
        assert capabilities_of(model) == ABLE  # type: ignore[arg-type]
